"""Work in other processes that a decoder may take down: the item it died on is lost, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Isolated(Generic[Item, Result]):
    """A function that runs in worker processes.

    Attributes:
        work: items -> one result for each; a function of a module, so that it pickles.
        lost: what stands for an item whose process died.
        begin: is called once in each process, with `arguments`.
        arguments: of `begin`; they travel once to each process.
    """

    work: Callable[[Sequence[Item]], list[Result]]
    lost: Callable[[Item], Result]
    begin: Callable[..., None] | None = None
    arguments: tuple[Any, ...] = ()

    def over(self, chunks: Sequence[Sequence[Item]], workers: int) -> Generator[list[Result], None, None]:
        """Yield the results of each chunk, in order.

        Args:
            chunks: of items; a process works on one at a time.
            workers: processes; 0 works in this one, where nothing protects it.
        """
        if not workers:
            if self.begin:
                self.begin(*self.arguments)
            yield from map(self.work, chunks)
            return
        done = 0
        while done < len(chunks):
            pool = self._pool(workers)
            try:
                for results in pool.map(self.work, chunks[done:]):
                    done += 1
                    yield results
            except BrokenProcessPool:
                results = self._one_by_one(chunks[done])
                done += 1
                yield results
            finally:
                pool.shutdown(cancel_futures=True)

    def _one_by_one(self, chunk: Sequence[Item]) -> list[Result]:
        results: list[Result] = []
        pool = self._pool(1)
        try:
            for item in chunk:
                try:
                    results += pool.submit(self.work, [item]).result()
                except BrokenProcessPool:
                    results.append(self.lost(item))
                    pool.shutdown()
                    pool = self._pool(1)
        finally:
            pool.shutdown()
        return results

    def _pool(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, get_context("spawn"), self.begin, self.arguments)
