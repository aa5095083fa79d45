"""Link agents/, topics/ and models/ into the development environment as `sidechain.*`.

Hatchling maps the folders when it builds the wheel but refuses editable installs with such a mapping. So the
wheel is installed first (metadata and console script), its copies are removed, and a `.pth` file points at a
folder of three links: an edit is live, and the import names are those of the wheel.
"""

import shutil
import sys
import sysconfig
from pathlib import Path

FOLDERS = ("agents", "topics", "models")


def main() -> None:
    """Replace the installed copy by links; safe to run again."""
    root = Path(__file__).resolve().parent.parent
    environment = Path(sys.prefix)
    if sys.prefix == sys.base_prefix:
        sys.exit("link_house.py works inside a virtual environment only: run `make install`")
    site = Path(sysconfig.get_paths()["purelib"])
    shutil.rmtree(site / "sidechain", ignore_errors=True)
    house = environment / "house" / "sidechain"
    house.mkdir(parents=True, exist_ok=True)
    for folder in FOLDERS:
        link = house / folder
        if link.is_symlink():
            link.unlink()
        link.symlink_to(root / folder, target_is_directory=True)
    (site / "sidechain-house.pth").write_text(f"{house.parent}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
