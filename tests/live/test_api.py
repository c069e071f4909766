"""This tool's own API, by a client that is not ours: grpcio, with stubs made from `proto/`, health and reflection.

The run is `runbook exec --listen` on a real server; its steps are people's, so that the API decides how it goes.
"""

import contextlib
import json
import subprocess
import sys
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steps import runbook, step
from tool import ROOT, Tool

SERVICE = "runbook.v1.RunService"
# gRPC's C core makes an authority of the socket's path, escaped; HTTP/2 servers that parse it refuse that.
OPTIONS = [("grpc.default_authority", "localhost")]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """The modules that protoc makes of `proto/`."""
    folder = tmp_path_factory.mktemp("stubs")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"--python_out={folder}"]
    command += [f"--grpc_python_out={folder}", "runbook/v1/run.proto", "runbook/v1/run_service.proto"]
    subprocess.run(command, check=True, timeout=60)
    sys.path.insert(0, str(folder))
    try:
        from runbook.v1 import run_pb2, run_service_pb2, run_service_pb2_grpc

        yield run_pb2, run_service_pb2, run_service_pb2_grpc
    finally:
        sys.path.remove(str(folder))


@pytest.fixture
def listening(stage, tool_for):
    """A run that asks twice, and listens on a socket."""
    tool = tool_for(stage)
    path = tool.folder / "ask.yaml"
    path.write_text(
        runbook(
            step("first", "manual.task", instructions="Do the first thing."),
            step("second", "manual.task", confirm="second", instructions="Do the second thing."),
        )
    )
    socket = tool.folder / "run.sock"
    with tool.begin("exec", str(path), *tool.connection(), f"--listen=unix:{socket}") as process:
        until(lambda: socket.exists() and tool.run_id())
        yield Listening(tool, process, f"unix:{socket}", tool.run_id())


class Listening:
    """A process that serves its run."""

    def __init__(self, tool: Tool, process: subprocess.Popen, address: str, run: str) -> None:
        self.tool, self.process, self.address, self.run = tool, process, address, run

    @contextlib.contextmanager
    def client(self, stubs):
        with grpc.insecure_channel(self.address, options=OPTIONS) as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
            yield stubs[2].RunServiceStub(channel)


def until(condition, seconds: float = 30):
    """What the condition comes to, when it holds."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Exception):
            if found := condition():
                return found
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def asked(client, stubs, run: str, name: str):
    """The question of this step, when it is open."""

    def question():
        found = client.GetRun(stubs[1].GetRunRequest(run_id=run), timeout=10)
        return found.HasField("question") and found.question.step == name and found.question

    return until(question)


def answer(stubs, run: str, question, yes: bool = True, word: str = ""):
    said = stubs[0].ANSWER_YES if yes else stubs[0].ANSWER_NO
    return stubs[1].AnswerQuestionRequest(run_id=run, question=question.number, answer=said, word=word)


@pytest.mark.timeout(120)
def test_a_run_is_listed_watched_and_answered(listening, stubs):
    run, (messages, calls, _) = listening.run, stubs
    with listening.client(stubs) as client:
        listed = client.ListRuns(calls.ListRunsRequest(), timeout=10).runs
        assert [(each.run_id, each.state) for each in listed] == [(run, messages.RUN_STATE_RUNNING)]
        first = asked(client, stubs, run, "first")
        assert "first thing" in first.summary and first.wanted == 1
        assert json.loads(first.json)["kind"] == "manual"

        events = list_in_background(client.WatchRun(calls.WatchRunRequest(run_id=run, from_seq=2)))
        said = client.AnswerQuestion(answer(stubs, run, first), timeout=10)
        assert said.answered.answer == messages.ANSWER_YES
        assert said.answered.witness.through == messages.THROUGH_SOCKET
        assert said.answered.witness.name and said.answered.witness.__getattribute__("from").startswith("uid ")
        again = client.AnswerQuestion(answer(stubs, run, first), timeout=10)
        assert again == said, "the same again is accepted"
        refused(grpc.StatusCode.FAILED_PRECONDITION, client, answer(stubs, run, first, yes=False))

        second = asked(client, stubs, run, "second")
        assert second.word == "second"
        refused(grpc.StatusCode.INVALID_ARGUMENT, client, answer(stubs, run, second, word="secnd"))
        client.AnswerQuestion(answer(stubs, run, second, word="second"), timeout=10)
        seen = events()
    assert listening.process.wait(30) == 0
    records = [each.record for each in seen if each.HasField("record")]
    assert [each.seq for each in records] == list(range(2, 2 + len(records))), "in order, each once"
    assert records[-1].kind == "ended"
    assert all(json.loads(each.json)["seq"] == each.seq for each in records)
    assert any(each.HasField("progress") and "answer" in each.progress.waiting_for for each in seen)
    assert seen[-1].end.state == messages.RUN_STATE_SUCCEEDED and seen[-1].end.exit_code == 0


@pytest.mark.timeout(120)
def test_of_two_answers_at_once_one_stands_and_a_run_is_stopped(listening, stubs):
    run, (messages, calls, _) = listening.run, stubs
    with listening.client(stubs) as one, listening.client(stubs) as two:
        first = asked(one, stubs, run, "first")
        together = threading.Barrier(2)
        came: list = []

        def say(client, yes: bool) -> None:
            together.wait()
            try:
                client.AnswerQuestion(answer(stubs, run, first, yes=yes), timeout=20)
                came.append((yes, grpc.StatusCode.OK))
            except grpc.RpcError as error:
                came.append((yes, error.code()))

        threads = [threading.Thread(target=say, args=pair) for pair in ((one, True), (two, False))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(str(code) for _, code in came) == ["StatusCode.FAILED_PRECONDITION", "StatusCode.OK"], came
        stood = next(yes for yes, code in came if code == grpc.StatusCode.OK)
        if stood:
            asked(one, stubs, run, "second")
            one.StopRun(calls.StopRunRequest(run_id=run), timeout=10)
            assert listening.process.wait(30) == 130
        else:
            assert listening.process.wait(30) == 1, "it was declined"
    shown = listening.tool.run("show", run, "--output", "json").data()
    answered = shown["questions"][0]["answer"]
    assert answered["answer"] == ("yes" if stood else "no")


@pytest.mark.timeout(120)
def test_a_run_is_stopped_from_elsewhere_and_goes_on(listening, stubs):
    run, (_, calls, _) = listening.run, stubs
    with listening.client(stubs) as client:
        asked(client, stubs, run, "first")
        client.StopRun(calls.StopRunRequest(run_id=run), timeout=10)
    assert listening.process.wait(30) == 130
    resumed = listening.tool.run("resume", run, "--yes", "--confirm", "second=second")
    assert resumed.code == 0, resumed


@pytest.mark.timeout(60)
def test_health_and_reflection_are_the_standard_ones(listening, stubs):
    with grpc.insecure_channel(listening.address, options=OPTIONS) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        checked = health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=20)
        assert checked.status == health_pb2.HealthCheckResponse.SERVING
        services = reflected(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(services), services


def reflected(channel) -> list[str]:
    """The services that reflection (v1) lists."""
    name = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    from grpc_reflection.v1alpha import reflection_pb2 as messages

    # The messages of v1 and v1alpha are the same on the wire.
    ask = channel.stream_stream(
        name,
        request_serializer=messages.ServerReflectionRequest.SerializeToString,
        response_deserializer=messages.ServerReflectionResponse.FromString,
    )
    replies = ask(iter([messages.ServerReflectionRequest(list_services="")]), timeout=20)
    return [each.name for each in next(replies).list_services_response.service]


def refused(code: grpc.StatusCode, client, request) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.AnswerQuestion(request, timeout=10)
    assert caught.value.code() == code, caught.value


def list_in_background(stream):
    """Reads a stream on a thread; the result waits for its end."""
    seen: list = []
    thread = threading.Thread(target=lambda: seen.extend(stream))
    thread.start()

    def result():
        thread.join(60)
        assert not thread.is_alive(), "the stream did not end"
        return seen

    return result
