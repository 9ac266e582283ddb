"""Training in stages: samples become labelled token ids, ids become batches, recipes become runs of transformers' Trainer."""
