"""The bootstrap: one argv that makes a bare machine with Python into one that serves an agent."""

import base64
import io
import tarfile
from pathlib import Path

import overnight_jobs.far

_START = (
    "import base64,io,os,sys,tarfile,tempfile;d=tempfile.mkdtemp(prefix='overnight-far-');"
    "tarfile.open(fileobj=io.BytesIO(base64.b85decode({packed!r})),mode='r:xz').extractall(d);"
    "os.execv(sys.executable,[sys.executable,'-I','-S',d+'/serve.py',{port!r},{root!r}])"
)


def command(port: int, root: str = "", python: str = "python3") -> tuple[str, ...]:
    """The argv that starts overnight_jobs.far.serve. root: the folder it keeps jobs in, "" = a
    private one below the machine's temporary folder. python: an interpreter there, 3.11 or newer."""
    return (python, "-I", "-S", "-c", _START.format(packed=packed(), port=str(port), root=root))


def packed() -> str:
    """The far side's programs as base85 of a tar.xz; the same programs give the same text."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:xz") as tar:
        for path in sorted(Path(overnight_jobs.far.__file__).parent.glob("*.py")):
            content = path.read_bytes()
            info = tarfile.TarInfo(path.name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return base64.b85encode(raw.getvalue()).decode()
