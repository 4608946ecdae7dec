"""The form of the quizzes: eight questions each, one right choice, an answer with a reason and a link into the book."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = {  # the chapters that a part of the book consists of, by its quiz
    "quiz_data_and_network": ["01_cohort", "02_model_and_loss", "03_training"],
    "quiz_maps": ["04_activation_maps", "05_regions", "06_genes_and_pathways"],
    "quiz_evidence": ["07_earlier_fusion", "08_comparison", "09_trust", "10_recommended_model"],
    "quiz_results": [
        "11_scans_and_genotypes",
        "12_class_maps",
        "13_what_returns",
        "14_published_gene_lists",
        "15_how_many_people",
    ],
}
QUESTION = re.compile(r"^## Question (\d+)\n\n(.+?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
CHOICE = re.compile(r"^- \*\*([A-Z])\.\*\* \S", re.MULTILINE)
ANSWER = re.compile(r"```\{dropdown\} Answer\n\*\*([A-Z])\.\*\* (.+?)\n```", re.DOTALL)
LINK = re.compile(r"\{doc\}`(?:[^`<]*<)?notebooks/(\w+)>?`")
RESULT = re.compile(r"\d[.,]\d|\d ?%|\{\{")  # what a measured number looks like; none belongs here


@pytest.fixture(params=PARTS)
def quiz(request) -> str:
    return request.param


@pytest.fixture
def text(quiz) -> str:
    return (ROOT / "book" / f"{quiz}.md").read_text()


@pytest.fixture
def questions(text) -> list[str]:
    return [body for _, body in QUESTION.findall(text)]


def test_every_quiz_is_known_here():
    assert sorted(path.stem for path in (ROOT / "book").glob("quiz_*.md")) == sorted(PARTS)


def test_it_says_first_how_to_use_it(text):
    title, use, first, *_ = [part for part in text.split("\n\n") if part.strip()]
    assert title.startswith("# Quiz: ")
    assert first == "## Question 1"
    assert use.endswith(".")
    assert use.count(". ") == 0  # one sentence


def test_it_has_eight_numbered_questions_that_ask(text, questions):
    assert [int(number) for number, _ in QUESTION.findall(text)] == list(range(1, 9))
    for body in questions:
        asked = body.split("\n- ")[0].strip()
        assert asked.endswith("?")


def test_each_question_has_three_or_four_choices_and_one_answer_among_them(questions):
    for body in questions:
        letters = CHOICE.findall(body)
        assert letters == list("ABCD")[: len(letters)]
        assert 3 <= len(letters) <= 4
        ((right, why),) = ANSWER.findall(body)
        assert body.count("{dropdown}") == 1
        assert right in letters
        tempting = set(re.findall(r"\*\*([A-Z])\*\*", why))
        assert tempting, "say why the tempting wrong choice is wrong"
        assert tempting <= set(letters) - {right}


def test_the_right_letter_cannot_be_guessed_from_its_place(questions):
    right = [ANSWER.search(body)[1] for body in questions]
    assert len(set(right)) >= 3
    assert max(right.count(letter) for letter in set(right)) <= 4


def test_every_answer_leads_to_a_chapter_of_its_part_and_all_are_led_to(quiz, questions):
    linked = [LINK.findall(ANSWER.search(body)[2]) for body in questions]
    assert all(linked)
    assert {name for names in linked for name in names} == set(PARTS[quiz])
    for names in linked:
        assert all((ROOT / "notebooks" / f"{name}.ipynb").is_file() for name in names)


def test_no_result_is_typed(text):
    prose = text.replace("q = 0.05", "")  # a level, not a result
    assert RESULT.findall(prose) == []
