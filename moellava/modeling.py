"""MoE-LLaVA as a difference from transformers' Llava: sparse feed-forward layers, their loss and their router logits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import Cache, LlavaForConditionalGeneration, LlavaModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava.modeling_llava import LlavaCausalLMOutputWithPast, LlavaPreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, torch_compilable_check
from transformers.utils.generic import can_return_tuple

from moellava.configuration import MoELlavaConfig
from moellava.moe import SparseMoeBlock, load_balancing_loss
from moellava.parallel import fit_parallel_plans
from moellava.reminders import RemindsOfExperts

__all__ = ["MoELlavaCausalLMOutputWithPast", "MoELlavaForConditionalGeneration", "MoELlavaModel", "enable_router_noise"]


@dataclass
class MoELlavaCausalLMOutputWithPast(LlavaCausalLMOutputWithPast):
    """Llava's output with `aux_loss` (scalar, not yet multiplied by its coefficient) and `router_logits` (one
    [tokens, experts] float32 tensor per sparse layer, in layer order)."""

    aux_loss: torch.Tensor | None = None
    router_logits: tuple[torch.Tensor, ...] | None = None


class MoELlavaPreTrainedModel(RemindsOfExperts, LlavaPreTrainedModel):
    config: MoELlavaConfig

    @classmethod
    def _can_set_experts_implementation(cls) -> bool:
        return True  # transformers looks for the decorator in this file's source; ours is in moellava/moe.py

    def get_correct_experts_implementation(self, requested_experts: str | None) -> str:
        """The fastest where none is asked for: on a CPU a loop over the experts (`python -m bench.experts`)."""
        if requested_experts is None and not torch.cuda.is_available():
            return "eager"
        return super().get_correct_experts_implementation(requested_experts)


class MoELlavaModel(MoELlavaPreTrainedModel, LlavaModel):
    """Vision tower, projector and a language model whose layers `config.moe.layers` are sparse."""

    def __init__(self, config: MoELlavaConfig):
        for part in (config.text_config, config.vision_config):
            part._experts_implementation = None  # ours is the only part that has experts
        super().__init__(config)
        layers = self.language_model.layers
        for index, num_experts in config.moe.experts_per_layer().items():
            layers[index].mlp = SparseMoeBlock(config, num_experts, layers[index].mlp)
        fit_parallel_plans(self.language_model)
        self.post_init()

    def sparse_blocks(self) -> dict[int, SparseMoeBlock]:
        """The sparse feed-forward layers by layer index."""
        return {index: self.language_model.layers[index].mlp for index in sorted(self.config.moe.layers)}

    @can_return_tuple
    def forward(  # type: ignore[misc]  # transformers looks up what the keywords may be, and names some of them itself
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        image_sizes: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ):
        """As `LlavaModel.forward`, except that the image token needs no row in the embedding table.

        A text-only batch in training sends a blank picture through tower and projector and uses none of its rows, as
        upstream does: every rank of a distributed run computes with the same parameters, and all of them get gradients.

        Raises:
            ValueError: image tokens that are not as many as the rows of picture features; without pictures only where
                the image token has no row in the table. There `inputs_embeds` with pictures are refused, too.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("pass exactly one of input_ids and inputs_embeds")
        vision: Any = (mm_encoder_outputs or {}).get("image")
        if vision is not None and pixel_values is not None:
            raise ValueError("pass pixel_values or mm_encoder_outputs, which are their features, not both")
        blank = vision is None and pixel_values is None and input_ids is not None and self.training
        if blank:
            pixel_values = torch.zeros(1, 3, *[self.config.vision_config.image_size] * 2, device=self.device)
        if pixel_values is not None:
            vision = self.get_image_features(
                pixel_values=pixel_values,
                vision_feature_layer=vision_feature_layer,
                vision_feature_select_strategy=vision_feature_select_strategy,
                image_sizes=image_sizes,
                return_dict=True,
            )
        image_features = None if vision is None else torch.cat(list(vision.pooler_output))  # [rows, H]
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self._embed(input_ids, has_pictures=image_features is not None and not blank)
        if image_features is not None:
            image_features = image_features.to(inputs_embeds.device, inputs_embeds.dtype)
            if blank:
                is_image = torch.zeros_like(inputs_embeds[..., :1], dtype=torch.bool)
            else:
                is_image = self.get_placeholder_mask(input_ids, inputs_embeds, image_features)
            inputs_embeds = inputs_embeds.masked_scatter(is_image, image_features)
        is_token = token_mask(attention_mask)
        if is_token is not None and is_token.shape == inputs_embeds.shape[:2]:
            # Zero rows are what upstream has; they matter where padding is counted (capacity, balancing loss).
            inputs_embeds = inputs_embeds.masked_fill(~is_token.unsqueeze(-1).to(inputs_embeds.device), 0.0)
        outputs = super().forward(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            return_dict=True,
            **kwargs,
        )
        if hasattr(outputs, "image_outputs"):  # transformers 5.24, which makes `image_hidden_states` of it
            outputs.image_outputs = None if blank else vision
        else:
            outputs.image_hidden_states = None if blank else image_features
        return outputs

    def get_placeholder_mask(
        self, input_ids: torch.LongTensor | None, inputs_embeds: torch.Tensor, image_features: torch.Tensor
    ) -> torch.Tensor:
        """[batch, sequence, 1] bool: where the rows of `image_features` [rows, H] go.

        Raises:
            ValueError: not as many places as rows, or embeddings that cannot be told from any other.
        """
        token = self.config.image_token_id
        if input_ids is not None:
            is_image = input_ids == token
        elif token < self.config.text_config.vocab_size:
            embedding = self.get_input_embeddings()(torch.tensor(token, device=inputs_embeds.device))
            is_image = (inputs_embeds == embedding).all(-1)
        else:
            raise ValueError("pictures need input_ids: the image token, which tells where they go, has no embedding")
        _check_counts(is_image, rows=len(image_features))
        return is_image.unsqueeze(-1).to(inputs_embeds.device)

    def _embed(self, input_ids: torch.Tensor, has_pictures: bool) -> torch.Tensor:
        """[batch, sequence, H]; where the image token has no row, any other row stands where pictures will be."""
        if self.config.image_token_id >= self.config.text_config.vocab_size:
            is_image = input_ids == self.config.image_token_id
            if not has_pictures:
                _check_counts(is_image, rows=0)
            input_ids = input_ids.masked_fill(is_image, 0)
        return self.get_input_embeddings()(input_ids)


def _check_counts(is_image: torch.Tensor, rows: int) -> None:
    torch_compilable_check(
        is_image.sum() == rows,
        lambda: (
            f"{int(is_image.sum())} image tokens in input_ids, but {rows} rows of picture features: "
            "give each <image> its picture"
        ),
    )


class MoELlavaForConditionalGeneration(MoELlavaPreTrainedModel, LlavaForConditionalGeneration):
    """MoE-LLaVA with its language-modelling head; dense when `config.moe.layers` is empty.

    Source: arXiv 2401.15947; with `config.moe.drop_tokens` and `second_choice="gumbel"` it is the authors' code.
    """

    def __init__(self, config: MoELlavaConfig):
        super(LlavaForConditionalGeneration, self).__init__(config)  # skips building a dense LlavaModel first
        self.model = MoELlavaModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=config.head_bias)
        self.post_init()

    @can_return_tuple
    def forward(  # type: ignore[misc]  # transformers looks up what the keywords may be, and names some of them itself
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        labels: torch.LongTensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        image_sizes: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        output_router_logits: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MoELlavaCausalLMOutputWithPast:
        """As `LlavaForConditionalGeneration.forward`.

        With `labels` the loss is cross-entropy + `router_aux_loss_coef` * balancing loss; with labels or
        `output_router_logits` (None: as the configuration says) the output carries `aux_loss` and `router_logits`.
        """
        if output_router_logits is None:
            output_router_logits = self.config.output_router_logits
        router_logits: list[torch.Tensor] = []
        with self._append_router_logits(router_logits, enabled=output_router_logits or labels is not None):
            outputs = super().forward(
                input_ids=input_ids,
                pixel_values=pixel_values,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                inputs_embeds=inputs_embeds,
                vision_feature_layer=vision_feature_layer,
                vision_feature_select_strategy=vision_feature_select_strategy,
                labels=labels,
                logits_to_keep=logits_to_keep,
                image_sizes=image_sizes,
                mm_encoder_outputs=mm_encoder_outputs,
                return_dict=True,
                **kwargs,
            )
        if not router_logits:
            return MoELlavaCausalLMOutputWithPast(**outputs)
        moe = self.config.moe
        is_token = None if moe.count_padding else token_mask(attention_mask)
        mask_fits = is_token is not None and is_token.numel() == len(router_logits[0])
        aux_loss = load_balancing_loss(router_logits, is_token if mask_fits else None)
        if labels is not None:
            outputs.loss = outputs.loss + moe.router_aux_loss_coef * aux_loss.to(outputs.loss.device)
        return MoELlavaCausalLMOutputWithPast(**outputs, aux_loss=aux_loss, router_logits=tuple(router_logits))

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: torch.LongTensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[torch.LongTensor, dict[str, Any]]:
        """Each prompt `expand_size` times, with all its pictures.

        transformers before 5.18 repeats every picture by itself: of two pictures, beams would see the first one twice.
        Later versions have encoded them before.
        """
        pixel_values = model_kwargs.get("pixel_values")
        expanded = super()._expand_inputs_for_generation(expand_size, is_encoder_decoder, input_ids, **model_kwargs)  # type: ignore[misc]  # its `self` is annotated
        if pixel_values is not None and len(pixel_values) and input_ids is not None and expand_size > 1:
            tokens = (input_ids == self.config.image_token_id).sum(1)
            per_picture, rest = divmod(int(tokens.sum()), len(pixel_values))
            if per_picture and not rest and not (tokens % per_picture).any():  # else `forward` says what does not fit
                by_prompt = pixel_values.split((tokens // per_picture).tolist())
                expanded[1]["pixel_values"] = torch.cat([one.repeat(expand_size, 1, 1, 1) for one in by_prompt])
        return expanded

    @contextmanager
    def _append_router_logits(self, router_logits: list[torch.Tensor], enabled: bool) -> Iterator[None]:
        """Collect the router logits of this forward pass only: gradient checkpointing's second one must add nothing."""

        def hook(module, args, output):
            router_logits.append(output[0])

        blocks = self.model.sparse_blocks().values() if enabled else ()
        handles = [block.router.register_forward_hook(hook) for block in blocks]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def token_mask(attention_mask: Any) -> torch.Tensor | None:
    """[batch, sequence] bool, False at padding, of a 2-D mask. None for any other mask, which does not tell."""
    if isinstance(attention_mask, torch.Tensor) and attention_mask.ndim == 2:
        return attention_mask.bool()
    return None


def enable_router_noise(model: MoELlavaForConditionalGeneration, seed: int) -> None:
    """Switch on the routing noise that the original code draws at evaluation, with a seed per layer.

    Every published MoE-LLaVA number carries this noise. Without it (the default) routing is deterministic.

    Raises:
        ValueError: a dense model, which has no router.
    Source: DeepSpeed 0.9.5 `sharded_moe.py` line 291.
    """
    if not model.config.moe.layers:
        raise ValueError("router noise needs a sparse model; this one has no sparse layer")
    model.config.moe.second_choice = "gumbel"
    for index, block in model.model.sparse_blocks().items():
        router = block.router
        router.generator = torch.Generator(router.weight.device).manual_seed(seed * 1000 + index)
