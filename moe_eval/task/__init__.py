"""What a benchmark is: samples, prompts, scores. Tasks know this package and nothing else of the harness's engine.

A task answers four questions: which samples there are (`sources`), what the model is asked
(`TaskProtocol.prompt`), what an answer is worth (`TaskProtocol.score`) and what all of them are worth together
(`TaskProtocol.aggregate`). The last two are pure. Importing it imports no torch, no numpy, no Pillow.
"""

from moe_eval.task.definition import Card, Options, Submission, Task, question_id
from moe_eval.task.judging import Grade, Judge, JudgeCall, Judgement, NoGrade
from moe_eval.task.protocol import TaskProtocol
from moe_eval.task.samples import Dataset, DatasetLoader, Sample, Stopping, answer_ids
from moe_eval.task.scores import Result, SampleScore, worth

__all__ = [
    "Card",
    "Dataset",
    "DatasetLoader",
    "Grade",
    "Judge",
    "JudgeCall",
    "Judgement",
    "NoGrade",
    "Options",
    "Result",
    "Sample",
    "SampleScore",
    "Stopping",
    "Submission",
    "Task",
    "TaskProtocol",
    "answer_ids",
    "question_id",
    "worth",
]
