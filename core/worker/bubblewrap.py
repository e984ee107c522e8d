"""The command line of bubblewrap: what a sandboxed training sees of the machine, and nothing else."""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from core.contracts import SetupError

# Programs, libraries and what they look up; nothing of /etc that could hold a secret.
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/sys"),
    *(f"/etc/{name}" for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime")),
    *(f"/etc/{name}" for name in ("passwd", "group", "nsswitch.conf", "hosts", "mime.types", "ssl/certs", "OpenCL")),
)
_DEVICES = ("nvidia*", "kfd", "dri")
_SHARED_BYTES = 4 << 30  # of shared memory, which counts as nobody's
_PACKAGES = ("site-packages", "dist-packages")
_KEPT = frozenset(
    [
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "VIRTUAL_ENV", "PYTHONPATH",
        "PYTHONUNBUFFERED", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES",
        "ROCM_PATH", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "TORCH_HOME", "HF_HUB_CACHE", "OVERNIGHT_CACHE",
        "OVERNIGHT_JOB", "OVERNIGHT_OWNER", "TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_REQUIRE_CUDA", "NVIDIA_DISABLE_REQUIRE", "NVIDIA_TF32_OVERRIDE",
    ]
)  # fmt: skip
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")


def program() -> str:
    """Where bubblewrap is. Raises SetupError that says what to do where it is not."""
    found = shutil.which("bwrap")
    if found is None:
        raise SetupError(
            "sandbox: a trial with a patch runs under bubblewrap only, and this machine has none: "
            "install it (apt-get install bubblewrap), or trust what is proposed with sandbox=off"
        )
    return found


def mounts(inside: Path, private: Iterable[str], readable: Iterable[Path], hidden: Iterable[Path]) -> list[str]:
    """Arguments that build the file system. inside: the one folder to write in; its `tmp` and `home`
    stand for /tmp and the home folder. private: names in it that are only read. readable: what is read
    besides the system and Python. hidden: folders that stay empty even where they lie in one of these,
    but for what `readable` names in them."""
    home = Path(os.environ.get("HOME") or Path.home())
    made = ["--proc", "/proc", "--dev", "/dev", "--size", str(_SHARED_BYTES), "--tmpfs", "/dev/shm"]
    for pattern in _DEVICES:
        for device in sorted(Path("/dev").glob(pattern)):
            made += ["--dev-bind-try", str(device), str(device)]
    system = [Path(name) for name in _SYSTEM]
    for path in system:
        made += ["--ro-bind-try", str(path), str(path)]
    made += ["--bind", str(inside / "tmp"), "/tmp"]
    wanted = [*_python(), *readable]
    put = {path for path in _outermost(wanted) if not _below(path, system)}
    homes = _homes(home, system, [*system, *put])
    empty = sorted({place for path in hidden for place in _seen_at(path, [*system, *put])})
    for cover in (*homes, *empty):
        put.update(_outermost(path for path in wanted if _below(path, [cover])))
    layers = [(path, ["--bind", str(inside / "home"), str(path)]) for path in homes]
    layers += [(path, ["--ro-bind-try", str(path), str(path)]) for path in sorted(put)]
    layers += [(path, ["--tmpfs", str(path)]) for path in empty]
    # What lies further inside comes later, on top of what it lies in.
    for _, arguments in sorted(layers, key=lambda layer: len(layer[0].parts)):
        made += arguments
    made += ["--bind", str(inside), str(inside)]
    # What was made on the way to these places is memory: nothing may be put there.
    made += ["--remount-ro", "/", "--remount-ro", "/dev"]
    for name in private:
        made += ["--ro-bind-try", str(inside.parent / name), str(inside / name)]
    return made


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that a sandboxed training gets: a fixed list, whatever the executor lets through."""
    kept = {name: value for name, value in env.items() if name in _KEPT or _is_locale(name)}
    # There is no network: libraries that would try it first say at once that they cannot.
    kept |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TMPDIR": "/tmp"}
    hub = env.get("HF_HUB_CACHE") or str(_hf_home(env) / "hub")
    return kept | {"HF_HUB_CACHE": hub, "PYTHONDONTWRITEBYTECODE": "1"}


def caches(env: Mapping[str, str], cache: Path) -> list[Path]:
    """What training reads that was prepared before: the cache of tasks, models of the hub (not its token)."""
    found = [cache, _hub(env)]
    if env.get("TORCH_HOME"):
        found.append(Path(env["TORCH_HOME"]).expanduser())
    return [path.absolute() for path in found]


def datasets(env: Mapping[str, str]) -> list[Path]:
    """Where data sets of the hub lie, as downloaded and as prepared: their test splits are answers."""
    hub = _hub(env)
    prepared = Path(env.get("HF_DATASETS_CACHE") or _hf_home(env) / "datasets").expanduser().absolute()
    if prepared == hub:
        return [path for path in hub.glob("*") if path.is_dir() and not path.name.startswith("models--")]
    return [*hub.glob("datasets--*"), prepared]


def _hf_home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HF_HOME") or Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface")


def _hub(env: Mapping[str, str]) -> Path:
    return Path(environment(env)["HF_HUB_CACHE"]).expanduser().absolute()


def _is_locale(name: str) -> bool:
    return name.startswith("LC_") and not any(word in name.upper() for word in _SECRET)


def _homes(home: Path, system: list[Path], shown: list[Path]) -> list[Path]:
    """Where the home folder is to be replaced; nowhere if it holds a part of the system."""
    real = home.resolve()
    if not home.is_absolute() or any(_below(path.resolve(), [real]) for path in system):
        return []
    outside = set() if _below(home, shown) else {home}
    return sorted(_seen_at(home, shown) | outside)


def _seen_at(path: Path, places: Iterable[Path]) -> set[Path]:
    """Where a folder is seen when these places are shown, whatever links lead to it or to them."""
    real = path.resolve()
    if not os.path.isdir(real):  # noqa: PTH112 - unlike pathlib it says no of what may not be looked at
        return set()
    roots = [(place, place.resolve()) for place in places]
    return {place / real.relative_to(root) for place, root in roots if _below(real, [root])}


def _python() -> list[Path]:
    """The interpreter and the code it can import: whole environments, and single packages elsewhere,
    because a folder with a package in it may hold anything else too."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix)}
    for entry in sys.path:
        path = Path(entry)
        if not entry or not path.exists() or path == Path.cwd():
            continue
        if path.is_file() or path.name in _PACKAGES:
            found.add(path)
        elif not _below(path, found):
            found |= {child for child in path.iterdir() if _is_code(child)}
    for name, module in list(sys.modules.items()):
        if "." not in name:
            found |= _of(module)
    return [path.absolute() for path in found]


def _of(module: ModuleType) -> set[Path]:
    # Editable installs by setuptools: packages that are found through a table, perhaps not imported yet.
    table = getattr(module, "MAPPING", None) if module.__name__.startswith("__editable__") else None
    if isinstance(table, dict):
        return {Path(str(place)) for place in table.values()}
    if paths := list(getattr(module, "__path__", [])):
        return {Path(path) for path in paths if Path(path).is_dir()}
    file = getattr(module, "__file__", None)
    return {Path(file)} if file and Path(file).is_file() else set()


def _is_code(path: Path) -> bool:
    if path.is_dir():
        return (path / "__init__.py").is_file() or path.suffix in (".dist-info", ".egg-info")
    return path.suffix in (".py", ".so")


def _below(path: Path, others: Iterable[Path]) -> bool:
    return any(path == other or other in path.parents for other in others)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Without those that lie in another one; sorted."""
    found: list[Path] = []
    for path in sorted(set(paths), key=lambda path: (len(path.parts), path)):
        if not _below(path, found):
            found.append(path)
    return found
