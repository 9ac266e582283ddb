"""How many parameters a model has and activates, ours or not, from its configuration alone."""

from pathlib import Path
from typing import Any

from moe_eval.engine.backend import Parameters
from moe_eval.errors import UserError, one_line

__all__ = ["config_of", "count_parameters", "laid_out"]


def count_parameters(config: Any, top_k: int | None = None) -> Parameters:
    """Counts for a configuration of `moellava` or of any other image-text-to-text model of transformers.

    Args:
        top_k: experts that a token uses at most (`--ablate top_k=N`); None: as many as the configuration says.

    Raises:
        UserError: a model that transformers cannot lay out here, such as one that needs another package, or whose sparse
            layers do not say how many experts a token uses.
    """
    from moellava import MoELlavaConfig, accounting
    from moellava.model_accounting import count_model

    ours = isinstance(config, MoELlavaConfig) and top_k is None
    try:
        count = accounting.count_parameters(config) if ours else count_model(laid_out(config), top_k)
    except ValueError as error:
        raise UserError(f"model of type {config.model_type!r}: {error}") from error
    return Parameters(count.total, count.activated, count.llm_total, count.llm_activated)


def laid_out(config: Any) -> Any:
    """The model of a configuration on the meta device, which takes no memory.

    Raises:
        UserError: as `count_parameters`.
    """
    from moellava.model_accounting import lay_out

    try:
        return lay_out(config)
    except Exception as error:  # whatever a model's own code makes of an odd configuration
        raise UserError(
            f"model of type {config.model_type!r}: cannot be laid out ({' '.join(str(error).split())[:200]})"
        ) from error


def config_of(name: str) -> Any:
    """The configuration of a zoo name, a folder, or `hf:ORGANISATION/NAME[@REVISION]`, whose weights are not fetched.

    Raises:
        UserError: for a name that is none of these, or a repository without a configuration that transformers knows.
    """
    from transformers import AutoConfig

    from moe_eval.engine.models import ModelSource
    from moellava import zoo
    from moellava.convert import ConversionError

    source = ModelSource(name)
    source.check_name()
    if name in zoo.names() and not Path(name).is_dir():
        try:
            return zoo.architecture(name)
        except ConversionError as error:
            raise UserError(f"model {name}: {one_line(error)}") from error
    if not name.startswith("hf:"):
        return source.config
    repository, _, revision = name.removeprefix("hf:").partition("@")
    try:
        return AutoConfig.from_pretrained(repository, revision=revision or None, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"model {name}: {' '.join(str(error).split())}") from error
