"""Installation of recbole-hetcomp. Tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "recbole_hetcomp" / "version.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)


def property_packages():
    """Folders of properties/ as data packages below recbole_hetcomp, so that a wheel carries them."""
    return ["recbole_hetcomp.properties"] + [
        "recbole_hetcomp.properties." + folder.name
        for folder in sorted((ROOT / "properties").iterdir())
        if folder.is_dir()
    ]


# What RecBole 1.2.1 and the plugin import. RecBole itself is not among them: its own pins keep Ray at 2.6.3, which has
# no release for Python 3.12 and newer, so it is installed beside: pip install --no-deps recbole==1.2.1.
BASE = [
    "torch>=2.0",
    "numpy>=1.21",
    "scipy>=1.9",
    "pandas>=1.4",
    "attrs>=22.2",
    "cattrs>=23.1",
    "click>=8.1",
    "colorama>=0.4.4",
    "colorlog>=4.7.2",
    "filelock>=3.4",
    "joblib>=1.3",
    "psutil>=5.9",
    "pyyaml>=5.1",
    "safetensors>=0.4",
    "scikit-learn>=0.23.2",
    "tabulate>=0.8.10",
    "tensorboard>=2.5",
    "texttable>=0.9",
    "thop>=0.1.1.post2207130030",
    "tqdm>=4.48.2",
]

# RecBole with its own pins, and the last versions that these bear.
PINNED = [
    "recbole==1.2.1",
    "ray[tune]>=2.4,<=2.6.3",
    "numpy<2",
    "scipy<1.13",
    "pandas<3",
    "pyarrow<18",  # newer ones need NumPy 2
    "setuptools<81",  # Ray 2.6 imports pkg_resources
    "optuna<4",  # Ray 2.6 adds trials in Optuna 3's way
]

TABLES = ["pyarrow>=10"]  # Parquet, and rankings of any format
REPORT = ["matplotlib>=3.8", "jinja2>=3", "statsmodels>=0.13.5", *TABLES]
LEARNED = ["lightgbm>=4.6"]  # older ones do not work with today's scikit-learn
TUNE = ["ray[tune]>=2.4", "optuna>=3", "hyperopt>=0.2.5", "jinja2>=3", "plotly>=4"]
EXPORT = ["onnx>=1.15", "onnxruntime>=1.16", "faiss-cpu>=1.7.4", *TABLES]
SERVE = [
    "fastapi>=0.100",
    "fastapi-offline>=1.7",  # the OpenAPI page without a network
    "uvicorn>=0.23",
    "uvloop>=0.17; sys_platform != 'win32'",  # uvicorn takes it and httptools where they are
    "httptools>=0.5",
    "orjson>=3.9",
    "prometheus-client>=0.17",
    "pydantic>=2",
    *TABLES,
]
ALL = [*REPORT, *TUNE, *LEARNED, *EXPORT, *SERVE]

DOCS = [  # the site: mkdocs build
    "mkdocs-material>=9.7,<10",
    "mkdocstrings[python]>=0.30,<2",
    "latex2mathml>=3.78,<4",
    "ruff>=0.14",  # lays out signatures
]

setup(
    name="recbole-hetcomp",
    version=VERSION,
    description="HetComp for RecBole: distil an ensemble of different recommenders into one small, fast model",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.9,<3.14",
    packages=find_packages(include=["recbole_hetcomp", "recbole_hetcomp.*"]) + property_packages(),
    package_dir={"recbole_hetcomp.properties": "properties"},
    package_data={
        "recbole_hetcomp": ["py.typed"],
        "recbole_hetcomp.results": ["page.html"],
        "recbole_hetcomp.serving.service": ["page.html"],
        **{package: ["*.yaml"] for package in property_packages()},
    },
    install_requires=[*BASE, *(f'{requirement}; python_version < "3.11"' for requirement in PINNED)],
    extras_require={
        "tune": TUNE,
        "report": REPORT,
        "tables": TABLES,
        "export": EXPORT,
        "learned": LEARNED,
        "serve": SERVE,
        "all": ALL,
        "pinned": [*PINNED, *ALL],
        "docs": DOCS,
        "test": [
            *ALL,
            *DOCS,
            "pytest==8.4.2",  # xdist 3.8 does not keep groups of tests together under pytest 9.2
            "pytest-xdist==3.8.0",
            "pytest-timeout==2.4.0",
            "hypothesis>=6",
            "httpx>=0.24",
            "schemathesis>=4; python_version >= '3.10'",  # makes requests from the service's own description
            "selenium>=4.11",
            "ranx==0.3.21; python_version >= '3.10'",  # the fusions are compared with
            "nbclient>=0.8",  # the notebook is executed
            "ipykernel>=6",
            "ruff==0.14.4",
            "mypy==1.18.2",
            "types-PyYAML",
        ],
    },
    entry_points={
        "console_scripts": [
            "hetcomp=recbole_hetcomp.cli:main",
            "run_recbole=recbole_hetcomp.cli:run_recbole_main",
        ]
    },
    classifiers=[
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    zip_safe=False,
)
