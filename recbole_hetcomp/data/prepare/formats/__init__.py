"""The package's formats, one file each. A file that stands here is known; formats of others register themselves."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
