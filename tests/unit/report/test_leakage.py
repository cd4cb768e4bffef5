from __future__ import annotations

from pathlib import Path

import numpy as np
from victims import pictures

from wardround.attacks import leaks
from wardround.report.leakage import verdict_of, write_leakage


def test_the_page_says_what_came_out_and_shows_pictures_only_where_it_may(tmp_path: Path) -> None:
    true = pictures(2)
    found = leaks(np.stack([true[0], pictures(1, 7)[0]]), true, true.mean(0), pictures(9), np.arange(2))
    rows = [("round 0, <b>north</b>", leak) for leak in found]
    page = write_leakage(tmp_path, "tiny", ["One sentence."], rows, pictures=True).read_text()
    assert page.count("data:image/png;base64,") == 6
    assert "1 of 2 images were rebuilt almost as they are" in page
    assert "&lt;b&gt;north" in page
    assert "One sentence." in page
    assert page.index("Sealing the sum") < page.index("Differential privacy") < page.index("proves nothing")
    hidden = write_leakage(tmp_path, "tiny", [], rows, pictures=False).read_text()
    assert "data:image" not in hidden
    assert "src=" not in hidden


def test_the_verdict_never_says_safe() -> None:
    true, pool = pictures(2), pictures(12)
    nothing = leaks(pictures(2, seed=8), true, pool.mean(0), pool, np.arange(2))
    assert "does not prove" in verdict_of(nothing)
    thumbnails = leaks(np.clip(0.6 * true + 0.2, 0, 1), true, pool.mean(0), pool, np.arange(2))
    assert "recognisable" in verdict_of(thumbnails)
