"""Who is told that a study has nothing left to do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from toyproject import Toy, wait_until

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.notices import Notice
from seedfold.orchestrator.settings.notify import Notify, public_name

SECRET = "hunter2-hunter2"


@dataclass
class Hook:
    """A webhook on this machine: what it got, and the codes with which it answers, the last one for good."""

    port: int = 0
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    codes: list[int] = field(default_factory=lambda: [200])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{SECRET}"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((self.path, json.loads(data)))
            self.send_response(found.codes.pop(0) if len(found.codes) > 1 else found.codes[0])
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def launch(toy: Toy, *args: str) -> str:
    toy.environment["NO_PROXY"] = "127.0.0.1"
    ended = toy.launch(*args, experiment="light")
    toy.wait_for_workers()
    return ended.stdout + ended.stderr


def worker_logs(toy: Toy) -> str:
    return "".join(file.read_text() for file in toy.root.glob("*/submissions/*/worker.log"))


def test_a_webhook_is_told_once_of_each_end(toy: Toy, hook: Hook) -> None:
    (toy.data / "broken-1").touch()
    both = (f"notify.done={hook.url}", f"notify.failed={hook.url}")
    told = launch(toy, "seed=0,1", "fold=0", *both)
    [(path, message)] = hook.got
    assert path == f"/services/{SECRET}"
    assert message["text"] == "light: 1 done, 1 failed"
    assert (message["outcome"], message["states"], message["jobs"]) == ("failed", {"done": 1, "failed": 1}, 2)
    assert message["failures"][0]["jobs"] == 1
    told += toy.output_of("status", "light") + launch(toy, "seed=0,1", "fold=0", *both)
    assert len(hook.got) == 1

    (toy.data / "broken-1").unlink()
    toy.run_in_process("resume", "light")
    toy.wait_for_workers()
    assert [message["outcome"] for _, message in hook.got] == ["failed", "done"]
    toy.output_of("report", "light")
    told += toy.study("light").report_file.read_text() + worker_logs(toy)
    assert SECRET not in told


def test_a_webhook_that_fails_is_tried_again_by_who_looks_next(toy: Toy, hook: Hook) -> None:
    hook.codes = [500, 500, 200]
    told = launch(toy, "seed=0", "fold=0", f"notify.done={hook.url}")
    line = (
        "the webhook at 127.0.0.1 could not be told of the end of study light: it answers with HTTP 500;"
        " the next command tries it again\n"
    )
    assert line in worker_logs(toy)
    looked = [toy.run_in_process("status", "light") for _ in range(3)]
    assert [one.stderr for one in looked] == [f"seedfold: {line}", "", ""]
    assert len(hook.got) == 3
    assert SECRET not in told + worker_logs(toy)


def test_a_secret_may_stay_in_the_environment(toy: Toy, hook: Hook) -> None:
    site = toy.folder / "home" / ".config" / "seedfold" / "site.yaml"
    site.parent.mkdir(parents=True)
    site.write_text(f"notify: {{done: 'http://127.0.0.1:{hook.port}/services/$HOOK_ID'}}\n")
    launch(toy, "seed=0", "fold=0")
    assert "the variable HOOK_ID is not set" in worker_logs(toy)
    toy.environment["HOOK_ID"] = SECRET
    toy.output_of("status", "light")
    assert [path for path, _ in hook.got] == [f"/services/{SECRET}"]
    # A study that ended long before somebody asked to be told is no news.
    for file in toy.root.glob("light/events/*.jsonl"):
        events = [json.loads(line) | {"t": 1e9} for line in file.read_text().splitlines()]
        file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    for file in (toy.root / "light" / "notices").iterdir():
        file.unlink()
    toy.output_of("status", "light")
    assert len(hook.got) == 1


def test_a_command_gets_the_message_and_its_failure_is_told(toy: Toy) -> None:
    command = "cat > told.json && echo $SEEDFOLD_STUDY $SEEDFOLD_OUTCOME > told.txt && test ! -e data/no"
    toy.write_experiment(
        "told",
        "# @package _global_\ndefaults: [light, _self_]\nstudy: told\n"
        f"matrix: {{seed: [0], fold: [0]}}\nnotify: {{done: '{command}'}}\n",
    )
    (toy.data / "no").touch()
    toy.launch(experiment="told")
    toy.wait_for_workers()
    assert "the command of notify could not be told of the end of study told: it ended with exit code 1" in (
        worker_logs(toy)
    )
    assert (toy.folder / "told.txt").read_text() == "told done\n"
    assert json.loads((toy.folder / "told.json").read_text())["text"] == "told: 1 done"


def test_jobs_that_were_given_up_are_an_end_and_cancelled_ones_are_none(toy: Toy, hook: Hook) -> None:
    (toy.data / "broken-0").touch()
    more = ("seed=0", "fold=range(0,6)", "failures.stop_after_identical=2", "cluster.slots=1")
    launch(toy, *more, f"notify.failed={hook.url}")
    assert toy.states("light")["waiting"] > 0
    assert [message["outcome"] for _, message in hook.got] == ["failed"]
    toy.hold_jobs()
    toy.launch("--detach", "seed=3", "fold=0", "study=second", f"notify={{done: '{hook.url}'}}", experiment="light")
    wait_until(lambda: toy.states("second") == {"running": 1})
    toy.output_of("cancel", "second")
    toy.wait_for_workers()
    toy.release_jobs()
    assert toy.states("second") == {"cancelled": 1}
    toy.output_of("status", "second")
    assert len(hook.got) == 1


def test_one_process_sends(toy: Toy) -> None:
    study = Root(toy.root).study_folder("x")
    study.path.mkdir(parents=True)
    first, second = Notice(study, "k"), Notice(study, "k")
    assert (first.take_try(), second.take_try()) == (1, None)
    first.record_failed(1, "why")
    assert (second.take_try(), first.take_try()) == (2, None)
    second.record_sent()
    assert (first.take_try(), second.take_try()) == (None, None)
    many = Notice(study, "many")
    for number in (1, 2, 3, 4, 5):
        assert many.take_try() == number
        many.record_failed(number, "why")
    assert many.take_try() is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (f"http://x/{SECRET}", "notify: is not a mapping"),
        ({"donne": SECRET}, "notify.donne: unknown key, did you mean 'done'"),
        ({"done": [SECRET]}, "notify.done: is neither a command nor a URL"),
        ({"done": f"https:///{SECRET}"}, "notify.done: is a URL without a host"),
    ],
)
def test_errors_do_not_print_what_was_given(given: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        Notify.parse(given)
    assert message.split(",")[0] in str(error.value)
    assert SECRET not in str(error.value)
    assert public_name(f"https://me:{SECRET}@hooks.example.org/{SECRET}") == "the webhook at hooks.example.org"
