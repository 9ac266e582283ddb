"""Named models resolve to folders: converted once, downloaded once, and found again without network."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from moellava import MoELlavaForConditionalGeneration, zoo
from moellava.convert import ConversionError
from moellava.convert.parts import gather, missing
from tests.hub_server import HubServer
from tests.upstream_checkpoints import ORACLE, copy_checkpoint, tower_folder

ENDPOINT = constants.ENDPOINT  # of the real hub
PUBLISHED = Path(__file__).parents[2] / "results" / "published.json"
SIGLIP = "moe-llava-2.7bx4-384"  # its repository is served as the tiny siglip case
REPOSITORY = "LanguageBind/MoE-LLaVA-Phi2-2.7B-4e-384"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MOELLAVA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# Names


def test_names_are_unique():
    def refuse_twice(pairs: list[tuple[str, object]]) -> dict:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    json.loads(Path(zoo.__file__).with_name("zoo.json").read_text(), object_pairs_hook=refuse_twice)
    assert len(set(zoo.names())) == len(zoo.names())


def test_models_of_transformers_are_repositories_of_the_hub():
    entries = [entry for entry in map(zoo.find, zoo.names()) if entry.in_transformers]
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", entry.source) for entry in entries)
    assert all(entry.evidence for entry in entries)
    assert {"idefics-9b", "instructblip-7b", "blip2-flan-t5-xxl", "qwen3-vl-30b-a3b"} <= {
        entry.name for entry in entries
    }


def test_a_compared_system_has_its_published_architecture_without_network():
    assert zoo.architecture("qwen-vl").text_config.vocab_size == 151_936


def test_a_model_of_transformers_without_network_is_an_error_in_one_line(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConversionError, match="HuggingFaceM4/idefics-9b") as error:
        zoo.architecture("idefics-9b")
    assert "\n" not in str(error.value)


def test_a_name_that_there_is_not_is_a_key_error():
    with pytest.raises(KeyError, match="moe-llava-9bx9"):
        zoo.find("moe-llava-9bx9")


@pytest.mark.parametrize("name", zoo.names())
def test_every_entry_is_complete(name):
    entry = zoo.find(name)
    assert entry.name == name
    assert entry.llm
    assert entry.folder or (entry.language_model and entry.tower) or not entry.is_llava
    assert entry.random_weights == name.endswith("-tiny")
    assert entry.revision is None or len(entry.revision) == 40


def test_random_weights_are_not_listed_where_they_are_not(tmp_path, monkeypatch):
    """An installed package has the trained embedded models, and not the tests' data."""
    monkeypatch.setattr(zoo, "REPOSITORY", tmp_path)
    assert "moe-llava-tiny" not in zoo.names()
    assert "moe-llava-nano" in zoo.names()
    with pytest.raises(ConversionError, match="in a checkout"):
        zoo.resolve("moe-llava-tiny")


def test_no_repository_is_named_twice():
    sources = [entry.source for entry in map(zoo.find, zoo.names()) if entry.source]
    assert len(set(sources)) == len(sources)


def test_published_names_are_rows_of_the_published_tables():
    published = PUBLISHED.read_text()
    for name in zoo.names():
        if row := zoo.find(name).published_as:
            assert json.dumps(row) in published


def test_an_embedded_model_has_the_architecture_of_its_folder():
    config = zoo.architecture("moe-llava-tiny")
    assert (config.text_config.hidden_size, config.moe.layers) == (64, [0, 2])


# Conversion


def test_an_embedded_model_is_converted_once(cache, monkeypatch):
    folder = zoo.resolve("moe-llava-tiny")
    assert folder.parent == cache
    MoELlavaForConditionalGeneration.from_pretrained(folder)
    monkeypatch.setattr(zoo, "convert", None)  # not called again
    assert zoo.resolve("moe-llava-tiny") == folder


def test_a_source_that_changed_is_converted_anew(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    first = zoo.convert_once(source, "mine")
    assert zoo.convert_once(source, "mine") == first
    os.utime(source / "pytorch_model.bin", ns=(0, 0))
    second = zoo.convert_once(source, "mine")
    assert second != first
    assert second.is_dir()


def test_equal_names_of_other_folders_are_told_apart(tmp_path):
    first, second = (copy_checkpoint("moe-llava-phi", tmp_path / side) for side in "ab")
    assert zoo.convert_once(first, "mine") != zoo.convert_once(second, "mine")


def test_weights_that_were_never_published_are_an_error():
    with pytest.raises(ConversionError, match=r"moe-llava-7bx4.* never published"):
        zoo.resolve("moe-llava-7bx4")


# Download


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that serves the tiny siglip case under a real name."""
    source = copy_checkpoint("moe-llava-phi-siglip", tmp_path)
    with HubServer() as server:
        server.add("model", REPOSITORY, source, commit=zoo.find(SIGLIP).revision or "a" * 40)
        server.add("model", "google/siglip-tiny-patch14-56", tower_folder(source), commit="b" * 40)
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(ENDPOINT, server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


def downloaded(hub: HubServer) -> set[str]:
    return {path.rpartition("/")[2] for method, path in hub.requests if method == "GET" and "/resolve/" in path}


def test_a_published_model_is_downloaded_and_converted(hub):
    model = MoELlavaForConditionalGeneration.from_pretrained(zoo.resolve(SIGLIP))
    assert model.config.moe.layers == [0, 1, 2, 3]
    assert model.config.vision_config.model_type == "siglip_vision_model"


def test_one_form_of_the_weights_is_downloaded_and_no_left_overs(hub):
    served = hub.repositories[f"models/{REPOSITORY}"].folder
    left_out = {"pytorch_model.bin", "training_args.bin", "README.md", ".gitattributes"}
    for name in left_out:
        (served / name).write_text("not needed")
    zoo.resolve(SIGLIP)
    assert "model.safetensors" in downloaded(hub)
    assert not downloaded(hub) & left_out


def test_what_was_downloaded_is_found_without_network(hub, monkeypatch):
    first = zoo.resolve(SIGLIP)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.requests)
    assert zoo.resolve(SIGLIP) == first
    assert len(hub.requests) == asked


def test_the_pinned_revision_is_downloaded(hub):
    assert zoo.fetch_source(REPOSITORY).name == zoo.find(SIGLIP).revision


def test_another_revision_can_be_asked_for(hub):
    with pytest.raises(ConversionError, match=REPOSITORY):
        zoo.fetch_source(REPOSITORY, revision="c" * 40)


def test_a_repository_that_there_is_not_is_one_line(hub):
    with pytest.raises(ConversionError, match="someone/nothing") as caught:
        zoo.fetch_source("someone/nothing")
    assert "\n" not in str(caught.value)


def test_without_network_and_cache_there_is_one_line(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConversionError, match=f"{REPOSITORY}: cannot be downloaded") as caught:
        zoo.resolve(SIGLIP)
    assert "\n" not in str(caught.value)


def test_a_download_that_was_cut_is_completed(hub):
    folder = zoo.fetch_source(REPOSITORY)
    (folder / "model.safetensors").resolve().unlink()
    (folder / "model.safetensors").unlink()
    assert (zoo.fetch_source(REPOSITORY) / "model.safetensors").exists()


TINYGPT_V = ORACLE / "tinygpt-v" / "checkpoint"


@pytest.fixture
def tinygpt_v(hub, tmp_path, monkeypatch) -> zoo.ZooEntry:
    """TinyGPT-V's entry, whose parts are the tiny case: one file and Phi-2 on the hub, two elsewhere."""
    (tmp_path / "trained").mkdir()
    shutil.copy(TINYGPT_V / "TinyGPT-V_for_Stage4.pth", tmp_path / "trained")
    hub.add("model", "Tyrannosaurus/TinyGPT-V", tmp_path / "trained", commit="e" * 40)
    hub.add("model", "susnato/phi-2", TINYGPT_V / "phi-2", commit="f" * 40)
    entry = zoo.find("tinygpt-v")
    parts = {name: (TINYGPT_V / name).as_uri() if "://" in place else place for name, place in entry.parts.items()}
    parts["dimensions.json"] = (TINYGPT_V / "dimensions.json").as_uri()
    monkeypatch.setattr(zoo, "find", lambda name: replace(entry, parts=parts))
    return replace(entry, parts=parts)


def test_a_checkpoint_that_was_published_in_several_places_is_gathered_once(hub, tinygpt_v):
    folder = zoo.resolve("tinygpt-v")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "tinygpt_v"
    asked = len(hub.requests)
    assert zoo.resolve("tinygpt-v") == folder
    assert len(hub.requests) == asked


def test_a_part_that_is_not_there_is_one_line_and_the_others_stay(tinygpt_v, tmp_path):
    parts = tinygpt_v.parts | {"eva_vit_g.pth": (tmp_path / "nowhere.pth").as_uri()}
    with pytest.raises(ConversionError, match=r"nowhere\.pth: cannot be downloaded") as caught:
        gather(parts, tmp_path / "parts")
    assert "\n" not in str(caught.value)
    assert set(missing(parts, tmp_path / "parts")) == {
        "eva_vit_g.pth",
        "blip2_pretrained_flant5xxl.pth",
        "dimensions.json",
    }


def test_no_revision_names_several_places():
    with pytest.raises(ConversionError, match="tinygpt-v is gathered from several places"):
        zoo.resolve("tinygpt-v", "main")


def test_a_tower_that_is_nowhere_else_comes_from_the_hub(hub, tmp_path):
    source = copy_checkpoint("llava-1.5", tmp_path)
    tower = tower_folder(source)
    moved = shutil.move(tower, tmp_path / "tower")
    hub.add("model", "openai/clip-vit-tiny-patch14-56", Path(moved), commit="d" * 40)
    expected = zoo.convert_once(ORACLE / "llava-1.5" / "checkpoint", "beside") / "model.safetensors"
    assert (zoo.convert_once(source, "fetched") / "model.safetensors").read_bytes() == expected.read_bytes()


def test_of_a_tower_whose_copy_is_inside_only_the_settings_come_from_the_hub(hub):
    zoo.resolve(SIGLIP)
    tower = {path for _, path in hub.requests if "siglip-tiny" in path and "/resolve/" in path}
    assert {path.rpartition("/")[2] for path in tower} == {"config.json", "preprocessor_config.json"}


def test_what_was_downloaded_of_a_real_repository_is_found_without_network(hub, monkeypatch):
    served = hub.repositories[f"models/{REPOSITORY}"].folder
    (served / "README.md").write_text("every repository of the hub has one")
    first = zoo.resolve(SIGLIP)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert zoo.resolve(SIGLIP) == first


def test_what_was_downloaded_is_found_when_the_hub_is_down(hub, monkeypatch):
    first = zoo.resolve(SIGLIP)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert zoo.resolve(SIGLIP) == first


def test_a_hub_that_is_down_is_one_line(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # huggingface_hub waits longer and longer between its tries
    with pytest.raises(ConversionError, match=REPOSITORY):
        zoo.fetch_source(REPOSITORY)
