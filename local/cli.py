"""The `prodai` command. Every subcommand imports only what it needs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from local import analyze


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="prodai", description="prodai on one machine: the local cloud and its tools.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the local cloud; Ctrl-C ends it")
    up.add_argument("--ready-file", type=Path, metavar="PATH", help="write the addresses as JSON once all is healthy")
    up.add_argument("--model", action="store_true", help="with a small real model, so that the chat asks one")
    up.set_defaults(run=_up)

    demo = commands.add_parser("demo", help="a real track through the whole pipeline")
    demo.add_argument("file", nargs="?", help="an audio file; without one, a track is synthesised")
    demo.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    demo.set_defaults(run=_demo)

    analyze.add_parser(commands)

    letters = commands.add_parser("dead-letters", help="messages that were given up: look at them, send them again")
    letters.add_argument("action", choices=("list", "replay"))
    letters.add_argument("ids", nargs="*", metavar="ID", help="replay these; see `list`")
    letters.add_argument("--all", action="store_true", help="replay every one")
    letters.add_argument("--topic", action="append", help="of this topic only; may be given several times")
    letters.add_argument("--project", help="a project on Google Cloud instead of the local cloud")
    letters.add_argument("--ready-file", metavar="PATH", help="the running cloud's ready file")
    letters.add_argument("--json", action="store_true", help="one JSON object a line")
    letters.set_defaults(run=_dead_letters)

    upload = commands.add_parser("upload", help="upload files to the running local cloud and wait for their analyses")
    upload.add_argument("files", nargs="*", type=Path, metavar="FILE", help="none: go on with what is unfinished")
    upload.add_argument("--priority", type=int, default=0, help="the highest goes first, then the oldest (default 0)")
    _with_cloud(upload)
    upload.set_defaults(run=_upload)

    chat = commands.add_parser("chat", help="ask about a track")
    chat.add_argument("text")
    chat.add_argument("--track", required=True, metavar="ID")
    _with_cloud(chat)
    chat.set_defaults(run=_chat)

    top = commands.add_parser("top", help="how the service stands, live: requests, queue, cost, instances")
    top.add_argument("--once", action="store_true", help="print one frame and end")
    top.add_argument("--url", help="the metrics function; without it, the running local cloud's")
    top.add_argument("--token", help="an ID token with the claim operator; needed with --url")
    top.add_argument("--ready-file", metavar="PATH", help="the running cloud's ready file")
    top.set_defaults(run=_top)

    token = commands.add_parser("token", help="make a local user and print an ID token")
    token.add_argument("--uid", required=True)
    token.add_argument("--plan", default="free")
    token.add_argument("--claims", default="{}", metavar="JSON", help="custom claims, e.g. '{\"operator\": true}'")
    token.add_argument("--ready-file", metavar="PATH")
    token.set_defaults(run=_token)

    options = parser.parse_args(arguments)
    return _reported(options)


def _reported(options: argparse.Namespace) -> int:
    """Runs a command; what is foreseen to go wrong becomes one line on stderr."""
    from local.foreseen import foreseen

    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not foreseen(error):
            raise
        print(f"prodai {options.command}: {error}", file=sys.stderr)
        return 1
    return code


def _with_cloud(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ready-file", metavar="PATH", help="the running cloud's ready file")
    parser.add_argument("--uid", default="local-producer", help="the local user to be")
    parser.add_argument("--plan", default="pro")


def _up(options: argparse.Namespace) -> int:
    from local import cloud

    return cloud.up(options.ready_file, lambda line: print(line, flush=True), with_model=options.model)


def _demo(options: argparse.Namespace) -> int:
    from local import demo

    return demo.run(options.file, as_json=options.json)


def _dead_letters(options: argparse.Namespace) -> int:
    from local import dead_letters

    return dead_letters.run(options)


def _upload(options: argparse.Namespace) -> int:
    from local import producer

    return producer.upload(options.files, options.ready_file, options.uid, options.plan, options.priority)


def _chat(options: argparse.Namespace) -> int:
    from local import producer

    return producer.chat(options.text, options.track, options.ready_file, options.uid, options.plan)


def _top(options: argparse.Namespace) -> int:
    from local import top

    return top.run(options.url, options.token, options.ready_file, once=options.once)


def _token(options: argparse.Namespace) -> int:
    from local import readyfile
    from local.user import make_user

    try:
        claims = json.loads(options.claims)
    except ValueError as error:
        raise ValueError(f"--claims must be a JSON object: {error}") from None
    if not isinstance(claims, dict):
        raise ValueError("--claims must be a JSON object")
    print(make_user(readyfile.find(options.ready_file), options.uid, options.plan, claims))
    return 0


if __name__ == "__main__":
    sys.exit(main())
