"""The commands of docs/serve.md, run as they stand there; the container's packages are enough."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
from documents import ROOT, Block, document
from export_folders import small_export

from recbole_hetcomp.serving.service import schemas

BLOCKS = document("docs/serve.md").blocks
ASKING = [block for block in BLOCKS if block.text.startswith("curl")]


@pytest.fixture(scope="module")
def address(served: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    items = ["124", "242", "50", "258"]
    folder = small_export(tmp_path_factory.mktemp("documents") / "student", item_ids=items, user_ids=["196", "22", "7"])
    return served(folder, "open-sesame").split("/")[2]


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
@pytest.mark.parametrize("block", ASKING, ids=str)
def test_curl(block: Block, address: str):
    command = block.text.replace("127.0.0.1:8000", address)
    if "Authorization" not in command:
        command = command.replace("curl", 'curl -H "Authorization: Bearer $HETCOMP_TOKEN"', 1)
    done = subprocess.run(
        ["bash", "-c", command + " --fail"], env={"HETCOMP_TOKEN": "open-sesame", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    if "/metrics" in command:
        assert "hetcomp_requests_total" in done.stdout
    elif "/recommend" in command:
        shown = next(block.text for block in BLOCKS if block.language == "json")
        assert shape(json.loads(done.stdout)) == shape(json.loads(shown))
    else:
        assert schemas.SimilarItems(**json.loads(done.stdout)).items[0].title


def shape(value: Any) -> Any:
    """An answer without its numbers and names."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else type(value)


def test_the_documented_limits_are_the_services():
    text = re.sub(r"\s+", " ", (ROOT / "docs" / "serve.md").read_text(encoding="utf-8"))
    assert f"At most {schemas.MAX_K:,} items a list, {schemas.MAX_ANSWER:,} an answer and 1 MiB a request" in text
    assert f"an id or up to {schemas.MAX_USERS:,}" in text


def test_the_container_copies_what_is_there():
    copied = re.findall(r"^COPY (.*) /source\S*$", (ROOT / "run" / "Containerfile").read_text(), flags=re.MULTILINE)
    assert [name for names in copied for name in names.split() if not (ROOT / name).exists()] == []
    assert {"setup.py", "README.md", "recbole_hetcomp", "properties"} <= {
        name for names in copied for name in names.split()
    }


def test_the_container_has_what_the_service_imports(subprocess_environment):
    """Nothing but the packages of requirements/serve.txt, what these need, and the standard library."""
    code = """
import sys
from recbole_hetcomp.cli import main
main(["serve", "--help"])
import recbole_hetcomp.cli.serve, recbole_hetcomp.serving.service.running, recbole_hetcomp.serving.exported
import pyarrow.parquet, safetensors.numpy
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=subprocess_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "recbole", "ray", "sklearn", "scipy", "matplotlib", "filelock", "psutil"}
