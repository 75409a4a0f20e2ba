"""Runs an agent of a `host serve`, asks about what it wants to do, and prints its answer.

    pip install httpx
    HOST_TOKEN=… python client.py http://127.0.0.1:8080 weather "How is the weather in Oslo?"

With --yes every call is approved unasked.
"""

import json
import os
import sys
import time
import uuid

import httpx

# How long a server may be away, as it is while it restarts.
AWAY_MAX_S = 30
# The server says every 15 s that it is there.
SILENCE_MAX_S = 60


def main():
    words = [word for word in sys.argv[1:] if word != "--yes"]
    approves_all = "--yes" in sys.argv[1:]
    if len(words) not in (2, 3):
        sys.exit(__doc__)
    url, agent = words[:2]
    token = os.environ.get("HOST_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=url, headers=headers, timeout=SILENCE_MAX_S) as server:
        run = begin(server, agent, words[2:])
        print(f"run {run}", file=sys.stderr)
        for waiting in follow(server, run):
            decide(server, run, waiting, approves_all)
        shown = checked(server.get(f"/runs/{run}"))
    if "answer" not in shown:
        sys.exit(f"{shown['state']}: {shown.get('reason', '')}")
    print(shown["answer"])


def begin(server, agent, prompt):
    """Begins a run. The key lets the request be sent again: it is one run, however often it arrives."""
    body = {"prompt": prompt[0]} if prompt else {}
    key = {"Idempotency-Key": str(uuid.uuid4())}
    return until_there(lambda: checked(server.post(f"/agents/{agent}/runs", json=body, headers=key)))["run"]


def follow(server, run):
    """Gives what the run waits for, each time that it does, until it has ended. Where the connection breaks, the events
    go on after the last one that came."""
    last, has_ended = 0, False
    while not has_ended:
        until_there(lambda: server.get("/healthz"))
        for event in stream(server, run, last):
            last = event.get("seq", last)
            kind = event["kind"]
            # The end of the slot `run` is the end of the run.
            has_ended = event["slot"] == "run" and "finished" in kind
            if "started" in kind and event["slot"] != "run":
                print(f"  {event['slot']} begins", file=sys.stderr)
            if "stands" in kind and kind["stands"]["state"] == "suspended":
                yield kind["stands"].get("waiting", [])


def stream(server, run, last):
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
    try:
        with server.stream("GET", f"/runs/{run}/events", headers=headers) as response:
            if response.is_error:
                response.read()
            checked_status(response)
            for line in response.iter_lines():
                # An event is one line of data here; its name and its number are in the data, too.
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))
    except httpx.TransportError:
        return


def decide(server, run, waiting, approves_all):
    for wait in waiting:
        ask = wait["request"].get("approval") or wait["request"].get("tool")
        call = f"{ask['name']} {json.dumps(ask.get('input'), ensure_ascii=False)}"
        path = f"/runs/{run}"
        if wait["wants"] == "approval":
            yes = approves_all or input(f"{call}: may it be called? [y/N] ").lower().startswith("y")
            checked(server.post(f"{path}/{'approve' if yes else 'deny'}", json={"slot": wait["slot"]}))
        elif wait["wants"] == "answer":
            checked(server.post(f"{path}/answer", json={"slot": wait["slot"], "text": input(f"{call}: ")}))
        elif wait["wants"] == "settlement":
            sys.exit(f"{call}: it is not known whether it took effect; decide with `host resume {run} --settle`")
        # A moment comes by itself.


def until_there(request):
    """Sends a request again while nobody answers."""
    begun = time.monotonic()
    while True:
        try:
            return request()
        except httpx.TransportError:
            if time.monotonic() - begun > AWAY_MAX_S:
                raise
            time.sleep(0.5)


def checked(response):
    checked_status(response)
    return response.json()


def checked_status(response):
    """What is wrong is told as RFC 9457 has it: what, where, and what to do."""
    if response.is_error:
        problem = response.json()
        parts = [problem.get("detail"), problem.get("where"), problem.get("help")]
        sys.exit("\n  ".join(part for part in parts if part))


if __name__ == "__main__":
    main()
