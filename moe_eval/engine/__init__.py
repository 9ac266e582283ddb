"""What answers questions: backends behind one small interface (`moe_eval.engine.backend`)."""
