# SPDX-License-Identifier: Apache-2.0
"""The command quashkv, as `python -m quashkv`."""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import quashkv

PIPES = {"capture_output": True, "text": True, "timeout": 300}


def command(*arguments, **environment):
    return subprocess.run([sys.executable, "-m", "quashkv", *map(str, arguments)], **PIPES,
                          env={**os.environ, "COLUMNS": "100", **environment})


def figures(*arguments):
    """Tables of a bench by name, each a list of rows, from its JSON."""
    result = command("bench", *arguments, "--json", "-")
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return json.loads(result.stdout)


# ---- Without a command, help, mistakes --------------------------------------------------------

def test_alone_it_says_what_it_is():
    result = command()
    assert (result.returncode, result.stderr) == (0, "")
    for part in (quashkv.__version__, "cpu=", "devices: cpu", "quashkv bench quality",
                 "quashkv bench search", "quashkv bench latency"):
        assert part in result.stdout


def test_version():
    assert command("--version").stdout == f"quashkv {quashkv.__version__}\n"


def test_installed_command_is_the_same_program():
    script = pathlib.Path(sys.executable).with_name("quashkv")
    if not script.exists():
        pytest.skip("quashkv is not installed here")
    result = subprocess.run([script], **PIPES)
    assert result.stdout == command().stdout
    tool = subprocess.run([script.with_name("quash"), "version"], **PIPES)
    assert tool.returncode == 0 and quashkv.__version__ in tool.stdout


@pytest.mark.parametrize("name", ["quality", "search", "latency"])
def test_help_has_examples(name):
    result = command("bench", name, "--help")
    assert result.returncode == 0
    assert f"examples:\n  quashkv bench {name}" in result.stdout
    assert "--json" in result.stdout and "--plot" in result.stdout


@pytest.mark.parametrize("arguments, code, text", [
    (["nonsense"], 2, "nonsense"), (["bench"], 2, "NAME"), (["bench", "x"], 2, "x"),
    (["bench", "search", "--bits", "5"], 2, "--bits"),
    (["bench", "search", "--seed", "-1"], 2, "--seed"),
    (["bench", "search", "--base", "a.npy"], 3, "--queries"),
    (["bench", "search", "--base", "none.npy", "--queries", "none.npy"], 1, "none.npy"),
    (["bench", "search", "--base", "x.csv", "--queries", "x.csv"], 3, "x.csv"),
    (["bench", "search", "--large", "--base", "a.npy", "--queries", "a.npy"], 3, "--large"),
    (["bench", "quality", "--data", "."], 3, "no NAME.k.npy"),
    (["bench", "quality", "--dim", "60"], 3, "60"),
    (["bench", "latency", "--tokens", "0"], 2, "--tokens"),
    (["bench", "latency", "--bits", "1"], 3, "key_bits"),
    (["bench", "latency", "--rounds", "0"], 3, "--rounds"),
])
def test_mistakes(arguments, code, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = command(*arguments)
    assert result.returncode == code, result.stderr
    assert text in result.stderr and "Traceback" not in result.stderr and result.stdout == ""


def test_a_closed_pipe_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([sys.executable, "-m", "quashkv"], stdout=writer,
                            stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


# ---- quality ----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def quality(data):
    return figures("quality", "--data", data / "kv-smollm2")


def test_quality_facts(quality):
    assert quality["command"] == "bench quality" and quality["version"] == quashkv.__version__
    assert quality["cpu"] and quality["facts"] == {"dim": 128, "rows": 8000, "seed": 42}


def test_quality_of_the_mse_quantizer(quality):
    rows = quality["tables"]["mse"]
    assert [row["bits"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row["lower_bound"] < row["nmse"] < row["bound"]
        assert row["nmse"] == pytest.approx(row["theory"], rel=.02)
    assert rows[2]["ratio"] == pytest.approx(5.12)


def test_quality_of_inner_products(quality):
    for row in quality["tables"]["inner_product"]:
        assert row["algorithm2"] == pytest.approx(row["theory"], rel=.06)
        assert row["no_residual"] == pytest.approx(row["algorithm2"], rel=.05)
        assert row["unbiased"] < .3 * row["algorithm2"]
    for row in quality["tables"]["inner_product_correlated"]:
        assert row["unbiased_slope"] == pytest.approx(1, abs=.01)
        assert row["algorithm2_slope"] == pytest.approx(1, abs=.02)
        assert row["prototype_slope"] < .98
        assert row["prototype"] > row["no_sign"] > row["unbiased"]


def test_quality_of_mixed_precision(quality):
    outliers, gaussian = quality["tables"]["mixed"][:3], quality["tables"]["mixed"][3:]
    assert all(row["gain"] >= 20 for row in outliers)
    assert all(row["gain"] >= -2 for row in gaussian)


def test_quality_of_mixed_inner_products(quality):
    """What the docstring of MixedPrecisionIPQuantizer and doc/numerics.md say, on other vectors:
    a mean over eight matrices."""
    rows = quality["tables"]["mixed_inner_product"]
    assert [row["bits"] for row in rows] == [2.25, 2.5, 3.5] * 2
    for row, ratio in zip(rows, (.42, .51, .50, 1.38, .91, .82)):
        assert row["ratio"] == pytest.approx(ratio, rel=.1)
        assert row["levels_ratio"] < (.11 if row["queries"] == "any direction" else .3)


def test_quality_of_captured_caches(quality):
    rows = {(row["layer"], row["bits"]): row for row in quality["tables"]["cache"]}
    assert len(rows) == 12
    assert rows["mean", 3]["key_cosine"] == pytest.approx(.9858, abs=.0005)
    assert rows["mean", 3]["key_cosine_published"] == .94
    assert rows["mean", 3]["output_cosine"] == pytest.approx(.9771, abs=.002)
    assert rows["mean", 4]["ratio"] == pytest.approx(3.76, abs=.01)


def test_text_and_json_file_together(tmp_path):
    path = tmp_path / "q.json"
    result = command("bench", "quality", "--rows", 800, "--dim", 64, "--bits", "3", "--json", path)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    assert "original,\n" not in result.stdout and "original, published" in result.stdout
    row = json.loads(path.read_text())["tables"]["mse"][0]
    assert f"{row['nmse']:.4f}" in result.stdout


# ---- search -----------------------------------------------------------------------------------

def test_search_on_sift(data):
    found = figures("search", "--base", data / "sift" / "base.bvecs", "--queries",
                    data / "sift" / "queries.bvecs", "--seeds", 2)
    assert found["facts"]["vectors"] == 4500 and found["facts"]["queries"] == 500
    rows = found["tables"]["search"]
    for row, bar in zip(rows, (.56, .76, .865, .92), strict=True):
        assert row["recall_10"] > bar and row["recall_100"] > row["recall_10"]
        assert row["encode_s"] > 0 and row["search_ms"] > 0
    assert [row["row_bytes"] for row in rows] == [24, 40, 56, 72]


def test_search_on_made_up_vectors():
    rows = figures("search", "--bits", "2,4", "--metric", "l2")["tables"]["search"]
    assert [row["bits"] for row in rows] == [2, 4]
    assert rows[1]["recall_10"] > .85 > rows[0]["recall_10"] > .6


def test_search_says_how_many_threads_it_took(tmp_path, rng):
    np.save(tmp_path / "x.npy", rng.standard_normal((200, 16)).astype(np.float32))
    for number, words in ("1", "1 thread"), ("3", "3 threads"):
        result = command("bench", "search", "--base", tmp_path / "x.npy", "--queries",
                         tmp_path / "x.npy", "--bits", 4, QUASH_THREADS=number)
        assert f"QuashIndex, all queries in one call, {words}\n" in result.stdout, result.stderr


@pytest.mark.slow
def test_search_large():
    found = figures("search", "--large", "--bits", "4")
    assert (found["facts"]["vectors"], found["facts"]["queries"]) == (100_000, 1000)
    assert found["tables"]["search"][0]["recall_10"] > .85


def test_search_reads_all_formats(tmp_path, rng):
    rows = rng.integers(0, 256, (300, 16)).astype(np.uint8)
    head = np.full((300, 1), 16, "<i4").view(np.uint8)
    np.save(tmp_path / "a.npy", rows.astype(np.float16))
    (tmp_path / "a.bvecs").write_bytes(np.concatenate([head, rows], 1).tobytes())
    (tmp_path / "a.fvecs").write_bytes(
        np.concatenate([head, rows.astype("<f4").view(np.uint8)], 1).tobytes())
    recalls = [figures("search", "--base", path, "--queries", path, "--bits", 4)["tables"]["search"]
               [0]["recall_10"] for path in sorted(tmp_path.iterdir())]
    assert len(recalls) == 3 and len(set(recalls)) == 1
    (tmp_path / "bad.fvecs").write_bytes(b"\x03\0\0\0abc")
    result = command("bench", "search", "--base", tmp_path / "bad.fvecs", "--queries",
                     tmp_path / "a.npy")
    assert result.returncode == 3 and "bad.fvecs" in result.stderr


# ---- latency ----------------------------------------------------------------------------------

def test_latency():
    found = figures("latency", "--tokens", "64,256", "--bits", "3", "--rounds", 2)
    rows = found["tables"]["latency"]
    assert found["library"].endswith(" workers=1")
    assert [row["tokens"] for row in rows] == [64, 256]
    assert [row["published_ms"] for row in rows] == [.20, .24]
    assert rows[1]["compress_published_ms"] == .13
    for row in rows:
        assert row["attention_ms"] > 0 and row["numpy_ms"] > 0 and row["compress_ms"] > 0
        assert row["f32_bytes"] == 2 * 4 * 8 * 128 * row["tokens"] > row["held_bytes"]
        assert (row["torch_ms"] is None) == (importlib.util.find_spec("torch") is None)


# ---- plots ------------------------------------------------------------------------------------

BENCHES = [["quality", "--rows", "800"], ["search", "--bits", "2,4"],
           ["latency", "--tokens", "64,128", "--rounds", "1"]]


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="no matplotlib")
@pytest.mark.parametrize("arguments", BENCHES, ids=lambda a: a[0])
def test_plot(arguments, tmp_path):
    result = command("bench", *arguments, "--plot", tmp_path / "p.png", MPLCONFIGDIR=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is not None, reason="has matplotlib")
def test_plot_without_matplotlib():
    result = command("bench", "quality", "--plot", "p.png")
    assert result.returncode == 1 and result.stdout == ""
    assert "quashkv[bench]" in result.stderr and "Traceback" not in result.stderr


def test_progress_goes_to_a_terminal_only():
    if shutil.which("script") is None:
        pytest.skip("no program `script` to be a terminal")
    line = f"{sys.executable} -m quashkv bench search --bits 2 > /dev/null"
    result = subprocess.run(["script", "-qec", line, "/dev/null"], **PIPES,
                            env={**os.environ, "TERM": "xterm"})
    assert "search, bits 2" in result.stdout
