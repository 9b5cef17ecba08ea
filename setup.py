"""Installs ingestgate; also what Beam's ``--setup_file`` builds for remote workers."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
PACKAGES = find_packages(include=["ingestgate", "ingestgate.*"])

setup(
    name="ingestgate",
    version="0.1.0",
    description=(
        "The gate between a landing zone of candidate training assets and a training set: "
        "screens against partners' lists, seals matches, proves what it did."
    ),
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=PACKAGES,
    package_data={"ingestgate": ["py.typed"], "ingestgate.pipeline": ["templates/*"]},
    install_requires=(HERE / "requirements" / "runtime.in").read_text("utf-8").split("\n"),
    extras_require={"demo": ["scikit-image>=0.26"]},
    entry_points={
        "console_scripts": ["ingestgate = ingestgate.pipeline.cli:main"],
    },
)
