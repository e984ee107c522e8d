"""Asking the hub before anything is spent: a stand-in for its API that also misbehaves as the real one does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# name → (status, headers, body) of GET /api/models/NAME, as recorded in the hub's documentation
_PLAIN = {"architectures": ["LlamaForCausalLM"], "tokenizer_config": {"eos_token": "</s>"}}
_CHAT = {**_PLAIN, "tokenizer_config": {"eos_token": "</s>", "chat_template": "{{ messages }}"}}
_FEATURES = [{"name": "query", "dtype": "string"}, {"name": "answer", "dtype": "string"}]
_ANSWERS: dict[str, tuple[int, dict[str, str], object]] = {
    "base/model": (200, {}, {"id": "base/model", "config": _PLAIN, "siblings": [{"rfilename": "config.json"}]}),
    "chat/model": (200, {}, {"id": "chat/model", "config": _CHAT, "siblings": []}),
    "file/model": (200, {}, {"id": "file/model", "config": _PLAIN, "siblings": [{"rfilename": "chat_template.jinja"}]}),
    "good/model": (200, {}, {"id": "good/model", "gated": False, "siblings": []}),
    "gated/model": (200, {}, {"id": "gated/model", "gated": "manual", "siblings": []}),
    "hidden/model": (401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, {"error": "no"}),
    "some/data": (
        200,
        {},
        {
            "id": "some/data",
            "cardData": {
                "dataset_info": [
                    {"config_name": "main", "features": _FEATURES},
                    {"config_name": "other", "features": _FEATURES},
                ]
            },
        },
    ),
    "one/data": (200, {}, {"id": "one/data", "cardData": {"dataset_info": {"features": _FEATURES}}}),
    "bare/data": (200, {}, {"id": "bare/data", "cardData": {"license": "mit"}}),
    "busy/model": (503, {}, {"error": "try again"}),
}


class _Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/auth-check"):
            self._answer(
                403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}, {"error": "gated"}
            )
        elif "/revision/" in path:
            self._answer(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev"}, {"error": "rev"})
        elif path == "/api/models/cut/model":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{")
            self.close_connection = True
        else:
            path = path.replace("/api/datasets/", "/api/models/")
            missing = (404, {"X-Error-Code": "RepoNotFound"}, {"error": "not found"})
            self._answer(*_ANSWERS.get(path.removeprefix("/api/models/"), missing))

    def _answer(self, status: int, headers: dict[str, str], body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ask(name: str, endpoint: str, home: Path, revision: str | None = None, call: str = "") -> str:
    """What check_on_hub says, in a process of its own: the hub's client reads its address when imported."""
    call = call or f"check_on_hub('model', {name!r}, {revision!r}, 'task.model')"
    script = (
        "from core import SetupError\n"
        "from overnight_huggingface.hub import check_columns, check_on_hub\n"
        "from overnight_huggingface.models import StartingModel\n"
        "try:\n"
        f"    {call}\n"
        "    print('fine')\n"
        "except SetupError as error:\n"
        "    print(error)\n"
    )
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("good/model", "fine"),
        ("no/such", "task.model: the hub has no model 'no/such' that you may see; check the spelling"),
        ("hidden/model", "the hub has no model 'hidden/model' that you may see"),
        ("gated/model", "task.model: gated/model is gated: accept its terms at http://127.0.0.1"),
        ("busy/model", "task.model: the hub cannot be reached to look for model 'busy/model'"),
        ("cut/model", "task.model: the hub cannot be reached to look for model 'cut/model'"),
        ("not a name", "is neither a folder that exists nor a hub name (owner/name)"),
    ],
)
def test_each_answer_of_the_hub_is_one_line_with_the_cure(endpoint: str, tmp_path: Path, name: str, words: str) -> None:
    said = ask(name, endpoint, tmp_path)
    assert words in said
    assert "\n" not in said


def test_a_revision_that_does_not_exist_is_named(endpoint: str, tmp_path: Path) -> None:
    assert "good/model has no revision 'v9'" in ask("good/model", endpoint, tmp_path, revision="v9")


def test_without_network_a_cached_model_is_there_and_another_is_not(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    assert "cannot be reached" in ask("some/model", nowhere, tmp_path)
    (tmp_path / "hub" / "models--some--model" / "snapshots").mkdir(parents=True)
    assert ask("some/model", nowhere, tmp_path) == "fine"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("base/model", "", "task.model: base/model has no chat template; choose its instruct variant"),
        ("base/model", ", chat=False", "fine"),
        ("chat/model", "", "fine"),
        ("file/model", "", "fine"),
        ("good/model", "", "fine"),
    ],
)
def test_a_base_model_without_a_chat_template_is_known_before_it_is_downloaded(
    endpoint: str, tmp_path: Path, name: str, options: str, words: str
) -> None:
    assert ask(name, endpoint, tmp_path, call=f"StartingModel({name!r}).check('a/b'{options})").startswith(words)


@pytest.mark.parametrize(
    ("name", "config", "columns", "words"),
    [
        ("some/data", "main", {"task.question_column": "query"}, "fine"),
        ("some/data", "main", {"task.question_column": "querry"}, "task.question_column: some/data has no column"),
        ("some/data", "main", {"task.question_column": "querry"}, "Did you mean query? It has: query, answer"),
        ("some/data", "mane", {}, "task.data_name: some/data has no configuration 'mane'; it has main, other"),
        ("one/data", None, {"task.text_column": "text"}, "task.text_column: one/data has no column 'text'"),
        ("bare/data", None, {"task.text_column": "text"}, "fine"),
        ("no/data", None, {}, "task.data: the hub has no dataset 'no/data'"),
    ],
)
def test_other_columns_are_known_before_the_data_is_downloaded(
    endpoint: str, tmp_path: Path, name: str, config: str | None, columns: dict[str, str], words: str
) -> None:
    info = f"check_on_hub('dataset', {name!r}, None, 'task.data')"
    assert words in ask(name, endpoint, tmp_path, call=f"check_columns({info}, {config!r}, {columns!r})")
