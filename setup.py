"""Puts configs/ into the wheel, as spacy_spanmed/configs/. All else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies the configs beside the package's modules. They lie outside of it, and only there."""

    def run(self) -> None:
        """Called by a build. An editable install needs no copy: see `find_config`."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "spacy_spanmed" / "configs"
            shutil.copytree("configs", target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
