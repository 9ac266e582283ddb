"""A small task of lmms-eval with local data: pictures, questions, four answers each, and functions of its own."""

from pathlib import Path

from moe_eval.mini.world import make_scenes

__all__ = ["ANSWERS", "write_task"]

ANSWERS = ["cat", "dog", "cat", "bird"]

FUNCTIONS = """
from lmms_eval.tasks._task_utils.file_utils import generate_submission_file

def show(doc):
    return [doc["image"].convert("RGB"), *(picture.convert("RGB") for picture in doc["more"])]

def ask(doc, lmms_eval_specific_kwargs=None):
    return lmms_eval_specific_kwargs["before"] + doc["question"]

def judge(doc, results):
    if results[0] == "make it fail":
        raise ValueError("no such answer")
    pair = (results[0].lower(), doc["answer"])
    return {"hit": float(pair[0] == pair[1]), "pairs": {"pair": pair, 7: None, "nan": doc["number"] * 1.5}, "file": pair}

def count_pairs(items):
    return sum(item["pair"][0] == item["pair"][1] for item in items) + sum(item["nan"] for item in items) * (7 in items[0])

def write_file(items, args):
    with open(generate_submission_file("upload.txt", args), "w") as stream:
        stream.write(str(items))
"""

YAML = """
task: {name}
dataset_path: parquet
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: {output_type}
doc_to_visual: !function functions.show
doc_to_text: !function functions.ask
doc_to_target: answer
{more}
generation_kwargs:
  max_new_tokens: 5
  temperature: {temperature}
lmms_eval_specific_kwargs:
  default:
    before: "Look! "
"""

SCORING = {
    "own": """
process_results: !function functions.judge
metric_list:
  - metric: hit
    aggregation: mean
    higher_is_better: true
  - metric: pairs
    aggregation: !function functions.count_pairs
    higher_is_better: true
  - metric: file
    aggregation: !function functions.write_file
    higher_is_better: true
""",
    "exact_match": """
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    ignore_punctuation: true
""",
    "choice": """
doc_to_choice: [cat, dog, bird]
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
""",
}


def write_task(
    folder: Path, name: str, scoring: str = "own", output_type: str = "generate_until", temperature: float = 0
) -> Path:
    """The task's YAML file, with functions and data beside it."""
    import datasets

    scenes = [scene.open() for scene in make_scenes(len(ANSWERS), 3, "test")]
    rows = {
        "number": list(range(len(ANSWERS))),
        "image": scenes,
        "more": [scenes[:number] for number in range(len(ANSWERS))],
        "question": [f"Which animal, {number}?" for number in range(len(ANSWERS))],
        "answer": ANSWERS,
    }
    features = datasets.Features(
        {
            "number": datasets.Value("int64"),
            "image": datasets.Image(),
            "more": datasets.List(datasets.Image()),
            "question": datasets.Value("string"),
            "answer": datasets.Value("string"),
        }
    )
    data = folder / "data.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(data)
    (folder / "functions.py").write_text(FUNCTIONS)
    path = folder / f"{name}.yaml"
    text = YAML.format(name=name, data=data, output_type=output_type, more=SCORING[scoring], temperature=temperature)
    path.write_text(text)
    return path
