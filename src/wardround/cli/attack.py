"""``wardround attack``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wardround.cli.train import DATA_HELP, SPEC_HELP

if TYPE_CHECKING:
    from wardround.study.attack import Attacked

ATTACK_HELP = (
    "idlg, idlg-nonzero, dlg, inverting-gradients, grad-inversion, latent-prior, learned-inversion or "
    "feature-inversion."
)
IMAGES_HELP = "Images in one step of plain SGD, the most an update can give away; 0 keeps the plan's local work."


def attack(
    spec: Annotated[Path, typer.Argument(help=SPEC_HELP, show_default=False)],
    attack: Annotated[str, typer.Option(help=ATTACK_HELP)] = "idlg",
    images: Annotated[int, typer.Option(min=0, help=IMAGES_HELP)] = 1,
    after: Annotated[int, typer.Option(min=0, help="Rounds to train before the attack.")] = 0,
    updates: Annotated[int, typer.Option(min=1, help="Updates to attack.")] = 8,
    steps: Annotated[int, typer.Option(min=0, help="Steps of the attack; 0 takes its own number.")] = 0,
    seconds: Annotated[float, typer.Option(min=0, help="Most seconds for each update; 0 sets no limit.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for the result; attacks/<name> if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the attack's first guesses.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an attack that was stopped.")] = False,
    data: Annotated[Path | None, typer.Option(envvar="WARDROUND_DATA", help=DATA_HELP)] = None,
) -> None:
    """Measure what a plan's updates give away: rebuild images from what its coordinator sees.

    The plan's sites train as they would, with its protections; the attack is given what crosses the wire and the plan,
    and nothing else. Its reconstructions are compared with the images behind the updates. The folder holds attack.json,
    and leakage.html, a page with pictures where the images are published. The last line printed is the page.

    Each line is one update; an attack that is stopped goes on after the last of them with --resume. idlg is the
    strongest on one image in a smooth network, feature-inversion on a few at once.

    With masks or encryption whose sum the coordinator opens, the sum is attacked.
    """
    from wardround.cli.progress import shown
    from wardround.report.leakage import write_leakage
    from wardround.study.attack import Assault
    from wardround.study.attack import attack as mount
    from wardround.study.spec import load

    plan = load(spec)
    assault = Assault(attack, images, after, updates, steps, seconds, seed)
    folder = out or Path("attacks") / plan.name
    with shown(plan) as listener:
        result = mount(plan, assault, folder, data, listener, tell=_tell, resume=resume)
    print(write_leakage(folder, plan.name, result.setting, result.leaks, result.public))


def _tell(number: int, total: int, one: Attacked) -> None:
    worst = max(one.leaks, key=lambda leak: leak.of_best.psnr_db)
    typer.echo(
        f"{number}/{total}  round {one.sighting.round}, {' + '.join(one.sighting.sites)}: "
        f"{worst.of_best.psnr_db:.1f} dB, SSIM {worst.of_best.ssim:.2f} "
        f"(mean image {worst.of_mean.psnr_db:.1f} dB), {one.found.seconds:.0f} s",
        err=True,
    )
