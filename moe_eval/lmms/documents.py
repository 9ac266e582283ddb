"""Documents of lmms-eval's tasks as our samples: the text that is asked, and pictures that open lazily."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from moe_eval.errors import UnreadableImageError, UserError
from moe_eval.lmms.failure import reason
from moe_eval.lmms.request import is_greedy, pictures_only
from moe_eval.lmms.scoring import plain
from moe_eval.task import Dataset, Sample

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["load_documents"]


def load_documents(name: str, task: Any) -> Dataset:
    """What a task asks about each of its documents.

    Args:
        name: of our task, for messages.
        task: lmms-eval's, with its documents.

    Raises:
        UserError: for documents with videos or sounds, with unreadable pictures, or with several questions each.
    """
    task.build_all_requests()
    texts = {request.doc_id: request.arguments[0] for request in task.instances}
    if len(texts) != len(task.instances):
        raise UserError(f"{name}: asks several questions about one document, which a run cannot hold")
    samples = []
    for number, text in texts.items():
        doc = _filled(_encoded(task.eval_docs, number))
        images = tuple(
            _DocumentImage(name, task, number, position) for position in range(_count_pictures(name, task, number, doc))
        )
        gold = plain(task.doc_to_target(doc))
        samples.append(Sample(str(number), text, images, gold if _is_json(gold) else repr(gold), str(number)))
    config, split = task.config, task.config.test_split or task.config.validation_split
    data = "/".join(str(part) for part in (task.DATASET_PATH, task.DATASET_NAME, split) if part)
    greedy = "" if is_greedy(config.generation_kwargs) else ", answered greedily although the task asks for sampling"
    edition = f"{len(samples):,} documents of {data}, lmms-eval {version('lmms_eval')}{greedy}"
    return Dataset("lmms", edition, samples, official=False)


@dataclass(frozen=True)
class _DocumentImage:
    """One of the pictures of a document."""

    task_name: str
    task: Any = field(repr=False)
    document: int
    position: int

    @property
    def name(self) -> str:
        return f"{self.document}-{self.position}"

    def open(self) -> "Image":
        try:
            visuals = self.task.doc_to_visual(self.task.eval_docs[self.document])
            return visuals[self.position].convert("RGB")
        except Exception as error:  # the task's function and Pillow's decoders raise many kinds
            raise UnreadableImageError(f"{self.task_name} document {self.document}", reason(error)) from error


def _count_pictures(name: str, task: Any, number: int, doc: dict[str, Any]) -> int:
    """How many pictures a document shows; decodes them only if the task cannot do with placeholders."""
    where = f"{name}: document {number}"
    try:
        return len(pictures_only(task.doc_to_visual(doc), where))
    except UserError:
        raise
    except Exception:
        try:
            return len(pictures_only(task.doc_to_visual(task.eval_docs[number]), where))
        except Exception as error:
            raise UserError(f"{where}: its pictures cannot be read: {reason(error)}") from error


def _encoded(docs: Any, number: int) -> dict[str, Any]:
    """A document with its pictures left encoded, where the documents are a data set and not a plain list."""
    if hasattr(docs, "with_format"):
        return docs.with_format("arrow")[number].to_pylist()[0]
    return docs[number]


def _filled(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a small grey picture for each encoded one."""
    from PIL import Image

    def fill(value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
            return Image.new("RGB", (8, 8), "grey")
        return [fill(one) for one in value] if isinstance(value, list) else value

    return {name: fill(value) for name, value in doc.items()}


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float)
