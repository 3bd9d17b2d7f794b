"""The back ends: a real client against a real server that misbehaves, a local model, and recorded replies."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support.judge_server import Act, JudgeServer, completion, verdict
from support.tiny import tiny_base

from truing.core.errors import TruingError
from truing.core.files import write_jsonl
from truing.judges.backends import UnsentError, backend, most_tokens
from truing.judges.backends.endpoint import Endpoint, EndpointParams, retry_after
from truing.judges.backends.local import Local, LocalParams
from truing.judges.backends.replay import Replay, ReplayParams, request_digest
from truing.judges.requests import Reply, Sent, TransportError

KEY = "sk-planted-0123456789abcdef"
SENT = Sent("m", ({"role": "user", "content": "is the news good ?"},), 0.0, 1.0, 7, 1, 2)
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def ask(server_url: str, sent: Sent = SENT, **params: Any) -> Reply:
    end = Endpoint(EndpointParams(**{"base_url": server_url, "model": "m", **params}))
    try:
        return await end.ask(sent)
    finally:
        await end.close()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    return KEY


def refused(server: JudgeServer, **params: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        run(ask(server.base_url, **params))
    # Nor in what a traceback would print besides.
    assert KEY not in repr(caught.value) + repr(caught.value.__cause__)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def test_registry_knows_the_three() -> None:
    assert {"endpoint", "local", "replay"} <= set(backend.names())


def test_reply_with_log_probabilities_as_sent_and_as_it_came(key: str) -> None:
    with JudgeServer() as server:
        reply = run(ask(server.base_url, api_key_env="JUDGE_KEY"))
        assert server.documents == [
            {
                "model": "m",
                "messages": [{"role": "user", "content": "is the news good ?"}],
                "temperature": 0.0,
                "top_p": 1.0,
                "max_tokens": 1,
                "stream": False,
                "seed": 7,
                "logprobs": True,
                "top_logprobs": 2,
            }
        ]
        assert server.headers["authorization"] == f"Bearer {key}"
        said = verdict(server.documents[0])
    assert reply == Reply(said, "stop", (((said, math.log(0.75)), (" no", math.log(0.25))),), 5, 1)


def test_what_is_not_asked_for_is_not_sent() -> None:
    with JudgeServer() as server:
        reply = run(ask(server.base_url, replace(SENT, seed=None, top_logprobs=0), max_tokens_field="max_completion_tokens"))
        assert not {"seed", "logprobs", "top_logprobs", "max_tokens"} & set(server.documents[0])
        assert server.documents[0]["max_completion_tokens"] == 1
    assert reply.top_logprobs is None


def _error(words: str) -> bytes:
    return json.dumps({"error": {"message": words}}).encode()


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (401, False), (404, False), (408, True), (409, True), (422, False), (429, True), (500, True), (503, True), (529, True)],
)
def test_error_status_is_a_transport_error(status: int, retryable: bool) -> None:
    with JudgeServer(lambda asked: Act(status, _error("too bad " * 100))) as server:
        error = refused(server)
        assert server.total == 1, "the client retried by itself"
    assert (error.status, error.retryable, error.retry_after) == (status, retryable, None)
    assert "too bad" in str(error)
    assert len(str(error)) < 400


def test_retry_after_is_passed_on() -> None:
    with JudgeServer(lambda asked: Act(429, _error("slow"), {"Retry-After": "17"})) as server:
        assert refused(server).retry_after == 17.0


def test_forms_of_retry_after() -> None:
    assert retry_after({}, 0.0) is None
    assert retry_after({"retry-after": "soon"}, 0.0) is None
    assert retry_after({"retry-after": "inf"}, 0.0) is None
    assert retry_after({"retry-after": "-3"}, 0.0) == 0.0
    assert retry_after({"retry-after-ms": "250", "retry-after": "1"}, 0.0) == 0.25
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 20.0) == 40.0


def test_connection_cut_in_mid_reply_can_be_tried_again_and_may_have_been_charged_for() -> None:
    with JudgeServer(lambda asked: Act(cut=True)) as server:
        error = refused(server)
    assert (error.status, error.retryable) == (None, True)
    assert not isinstance(error, UnsentError)


def test_time_limit_is_for_the_whole_reply() -> None:
    with JudgeServer(latency_s=5.0) as server:
        error = refused(server, timeout_s=0.2)
    assert (error.status, error.retryable) == (None, True)
    assert "0.2 s" in str(error)
    assert not isinstance(error, UnsentError)


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"",
        b"[]",
        b'"text"',
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": [{"message": {"content": "5"}, "logprobs": {"content": [{"top_logprobs": [{"token": "5", "logprob": NaN}]}]}}]}',
        b"\xff\xfe\x00",
    ],
)
def test_body_that_is_no_completion(body: bytes) -> None:
    with JudgeServer(lambda asked: Act(body=body)) as server:
        error = refused(server)
    assert (error.status, error.retryable) == (200, True)


def test_wrong_base_url(key: str) -> None:
    with JudgeServer() as server:
        away = server.base_url.replace("/v1", "/v2")
        with pytest.raises(TransportError, match="404") as caught:
            run(ask(away))
        assert not caught.value.retryable
        gone = server.base_url
    with pytest.raises(UnsentError) as refusal:
        run(ask(gone, api_key_env="JUDGE_KEY"))
    assert refusal.value.retryable
    assert "127.0.0.1" in str(refusal.value)


@pytest.mark.parametrize(
    "address", ["localhost:8000/v1", "ftp://host/v1", "https://", "https://me:secret@host/v1", "https://host/v1?key=secret"]
)
def test_address_that_is_none_or_holds_a_credential_is_refused_without_printing_it(address: str) -> None:
    with pytest.raises(TruingError) as caught:
        backend.get("endpoint").configure({"base_url": address, "model": "m"}, "judges.j")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "", "  ", "sk-planted\nbroken", "sk-planted-\u00e9"])
def test_missing_or_impossible_key_names_the_variable_only(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    if value is not None:
        monkeypatch.setenv("JUDGE_KEY", value)
    with JudgeServer() as server:
        with pytest.raises(TruingError, match="JUDGE_KEY") as caught:
            run(ask(server.base_url, api_key_env="JUDGE_KEY"))
        assert server.total == 0
    assert "sk-planted" not in str(caught.value)


def test_another_key_of_the_environment_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with JudgeServer() as server:
        run(ask(server.base_url))
        assert KEY not in json.dumps(dict(server.headers))


def test_key_is_in_no_error_log_or_identity(key: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    starred = f"{key[:11]}*****{key[-4:]}"
    with JudgeServer(lambda asked: Act(401, _error(f"Incorrect API key provided: {key}, or {starred}."))) as server:
        error = refused(server, api_key_env="JUDGE_KEY")
        end = Endpoint(EndpointParams(base_url=server.base_url, model="m", api_key_env="JUDGE_KEY"))
    assert "Incorrect API key provided: ***" in str(error)
    written = capfd.readouterr()
    everything = str(error) + caplog.text + written.out + written.err + json.dumps(end.identity) + repr(end) + repr(vars(end))
    assert key not in everything
    assert "sk-planted" not in str(error)


def test_key_of_any_form_is_taken_out_of_what_a_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "plain0123456789")
    with JudgeServer(lambda asked: Act(401, _error("no user has the key plain0123456789"))) as server:
        assert "plain0123456789" not in str(refused(server, api_key_env="JUDGE_KEY"))


def test_identity_is_what_changes_answers() -> None:
    def identity(**params: Any) -> Any:
        return Endpoint(EndpointParams(**{"base_url": "http://host:80/v1", "model": "m", **params})).identity

    assert identity() == {"kind": "endpoint", "model": "m", "base_url": "http://host:80/v1"}
    assert identity() == identity(base_url="http://host:80/v1/", timeout_s=1, api_key_env="X")
    assert len({json.dumps(identity(**change)) for change in ({}, {"model": "n"}, {"base_url": "http://other/v1"})}) == 3


def test_request_for_another_model_is_refused() -> None:
    with JudgeServer() as server, pytest.raises(TruingError, match="'other'"):
        run(ask(server.base_url, replace(SENT, model="other")))


def test_refusal_filter_and_truncation_are_replies() -> None:
    def said(message: dict[str, Any], reason: str) -> bytes:
        return json.dumps({"choices": [{"message": message, "finish_reason": reason}]}).encode()

    bodies = iter(
        [
            said({"content": None, "refusal": "I will not"}, "stop"),
            said({"content": None}, "content_filter"),
            said({"content": "half"}, "length"),
        ]
    )
    with JudgeServer(lambda asked: Act(body=next(bodies))) as server:
        replies = [run(ask(server.base_url)) for _ in range(3)]
    assert replies == [Reply("I will not", "refusal"), Reply(None, "content_filter"), Reply("half", "length")]


def test_half_a_surrogate_pair_and_a_million_characters_arrive() -> None:
    bodies = iter([completion({}, "a\ud800b"), completion({}, "x" * 1_000_000), completion({}, "\U0001f600")])
    with JudgeServer(lambda asked: Act(body=next(bodies))) as server:
        texts = [run(ask(server.base_url)).text for _ in range(3)]
    assert texts == ["a\ufffdb", "x" * 1_000_000, "\U0001f600"]


def test_impossible_alternatives_are_left_out() -> None:
    body = b'{"choices": [{"message": {"content": "5"}, "finish_reason": "stop", "logprobs": {"content": [{"top_logprobs": %s}]}}]}'
    tops = b'[{"token": "5", "logprob": -0.5}, {"token": "6", "logprob": -Infinity}]'
    with JudgeServer(lambda asked: Act(body=body % tops)) as server:
        assert run(ask(server.base_url)).top_logprobs == ((("5", -0.5),),)


def test_client_works_again_after_it_was_closed() -> None:
    async def twice(url: str) -> int:
        end = Endpoint(EndpointParams(base_url=url, model="m"))
        for number in range(2):
            await end.ask(replace(SENT, seed=number))
            await end.close()
        return 2

    with JudgeServer() as server:
        assert run(twice(server.base_url)) == server.total == 2


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("tiny") / "base")


def test_tokens_are_never_counted_too_few(base: Path) -> None:
    messages = [{"role": "user", "content": "is the news good ? \u00e9\U0001f600"}]
    exact = Endpoint(EndpointParams(base_url="http://h/v1", model="m", tokenizer=str(base))).count_tokens(messages)
    local = Local(LocalParams(base=str(base)))
    assert exact == local.count_tokens(messages) == run(local.ask(replace(SENT, messages=tuple(messages)))).prompt_tokens
    assert Endpoint(EndpointParams(base_url="http://h/v1", model="m")).count_tokens(messages) == most_tokens(messages) >= exact


def test_local_greedy_reply_is_the_models_most_likely_continuation(base: Path) -> None:
    import torch

    from truing.models.encoding import render, rendered_ids
    from truing.models.loading import load_model, load_tokenizer

    reply = run(Local(LocalParams(base=str(base))).ask(replace(SENT, seed=None, max_tokens=6, top_logprobs=3)))
    tokenizer, model = load_tokenizer(base), load_model(base)
    ids = rendered_ids(tokenizer, render(tokenizer, [dict(message) for message in SENT.messages], cue=True))
    with torch.inference_mode():
        # All tokens at once, without a cache of keys and values.
        whole = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=6, pad_token_id=0)[0].tolist()
        logs = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    said = whole[len(ids) :]
    ended = said[-1] == tokenizer.eos_token_id
    assert reply.text == tokenizer.decode(said[:-1] if ended else said, skip_special_tokens=True)
    assert reply.finish_reason == ("stop" if ended else "length")
    assert (reply.prompt_tokens, reply.completion_tokens) == (len(ids), len(said))
    assert reply.top_logprobs is not None
    assert len(reply.top_logprobs) == len(said)
    for place, tops in enumerate(reply.top_logprobs):
        wanted = logs[len(ids) - 1 + place].topk(3)
        assert [token for token, _ in tops] == [tokenizer.decode([int(index)]) for index in wanted.indices]
        assert [value for _, value in tops] == pytest.approx(wanted.values.tolist(), abs=1e-5)


def test_local_draws_follow_their_seed(base: Path) -> None:
    local = Local(LocalParams(base=str(base)))
    drawn = replace(SENT, temperature=1.5, max_tokens=8)
    first = [run(local.ask(replace(drawn, seed=seed))) for seed in range(6)]
    again = [run(Local(LocalParams(base=str(base))).ask(replace(drawn, seed=seed))) for seed in range(6)]
    assert first == again
    assert len({reply.text for reply in first}) > 1
    with pytest.raises(TruingError, match="without a seed"):
        run(local.ask(replace(drawn, seed=None)))


def test_local_draws_have_the_tempered_truncated_distribution() -> None:
    import numpy as np

    from truing.judges.backends.local import drawn

    logs = np.log([0.1, 0.5, 0.15, 0.25])
    grid = (np.arange(20_000) + 0.5) / 20_000
    counts = np.bincount([drawn(logs, luck, 2.0, 0.8) for luck in grid], minlength=4) / 20_000
    # Square roots of the probabilities; of these shares, the first three (0.37, 0.26, 0.20) are needed for 0.8.
    kept = np.sqrt([0.0, 0.5, 0.15, 0.25])
    assert counts == pytest.approx(kept / kept.sum(), abs=1e-3)
    assert drawn(logs, np.nextafter(1.0, 0.0), 1.0, 1.0) == 0


def test_local_conversation_that_does_not_fit(base: Path) -> None:
    with pytest.raises(TransportError, match="exceed 128") as caught:
        run(Local(LocalParams(base=str(base))).ask(replace(SENT, max_tokens=128)))
    assert not caught.value.retryable


def test_local_identity_changes_with_the_weights(base: Path, tmp_path: Path) -> None:
    other = tiny_base(tmp_path / "base", seed=1)
    assert Local(LocalParams(base=str(base))).identity != Local(LocalParams(base=str(other))).identity
    assert Local(LocalParams(base=str(base))).identity != Local(LocalParams(base=str(base), dtype="bfloat16")).identity


def test_recorded_replies_are_given_again(tmp_path: Path) -> None:
    asked = [replace(SENT, seed=seed) for seed in range(3)]

    async def replies(url: str) -> list[Reply]:
        endpoint = Endpoint(EndpointParams(base_url=url, model="m"))
        found = [await endpoint.ask(one) for one in asked]
        await endpoint.close()
        return found

    with JudgeServer() as server:
        given = run(replies(server.base_url))
    rows = [{"request_digest": request_digest(one), "reply": reply.document()} for one, reply in zip(asked, given, strict=True)]
    write_jsonl(tmp_path / "record.jsonl", rows)
    replay = Replay(ReplayParams(path=str(tmp_path / "record.jsonl"), model="m"))
    assert replay.identity["model"] == "m"
    assert [run(replay.ask(one)) for one in asked] == given
    with pytest.raises(TransportError, match="no reply recorded") as caught:
        run(replay.ask(replace(SENT, seed=9)))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"request_digest": "a"}], "line 1"),
        ([{"request_digest": "a", "reply": {"text": "1"}}], "line 1"),
        ([{"request_digest": "a", "reply": Reply(text, "stop").document()} for text in "112"], "second reply"),
    ],
)
def test_damaged_record_names_its_line(tmp_path: Path, rows: list[dict[str, Any]], words: str) -> None:
    write_jsonl(tmp_path / "record.jsonl", rows)
    with pytest.raises(TruingError, match=words):
        run(Replay(ReplayParams(path=str(tmp_path / "record.jsonl"))).ask(SENT))
