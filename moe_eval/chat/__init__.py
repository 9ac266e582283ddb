"""Talking to OpenAI-compatible servers: what judges (`moe_eval.judge`) and models behind a server (`moe_eval.engine.server`) share."""
