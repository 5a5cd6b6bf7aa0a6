#!/usr/bin/env bash
# nbgrader 0.9.6: what late work loses is worked out before a person has marked it, and is not worked out again.
#
# `nbgrader autograde` stores the penalty for late work in its database, from the points that the notebook has at that time.
# Points that are given by hand come later, and no penalty is taken of them: with the built-in rule `zero`, by which late
# work gets no point at all, a late student keeps every point that a person gave. The exported table shows it: of 1 point by a
# test and 2 by hand, 1 is taken and 2 are left. To run autograde again after marking by hand is what mends it.
# Met where homework has written answers; `walkthrough.homework` computes penalties anew for each table.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q nbgrader==0.9.6 ipykernel==7.1.0
export PATH="$folder/venv/bin:$PATH" JUPYTER_CONFIG_DIR="$folder/config" IPYTHONDIR="$folder/ipython"
mkdir -p "$folder/course/source/week1"
cd "$folder/course"
cat > nbgrader_config.py <<'END'
c = get_config()
c.CourseDirectory.course_id = "course"
c.LateSubmissionPlugin.penalty_method = "zero"
END
python - <<'END'
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def marked(cell, name, points, solution, grade):
    cell.metadata["nbgrader"] = {
        "grade": grade, "grade_id": name, "locked": not solution, "points": points, "schema_version": 3,
        "solution": solution, "task": False, "cell_type": cell.cell_type,
    }
    return cell


nb = new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
nb.cells = [
    marked(new_code_cell("assert 1 + 1 == 2"), "test", 1, False, True),
    marked(new_markdown_cell("because"), "written", 2, True, True),
]
nbformat.write(nb, "source/week1/week1.ipynb")
END
nbgrader generate_assignment week1 > log 2>&1 || { cat log; exit 2; }
nbgrader db assignment add week1 --duedate="2026-01-01 00:00:00 UTC" >> log 2>&1 || { cat log; exit 2; }
mkdir -p submitted/mara/week1
cp release/week1/week1.ipynb submitted/mara/week1
echo "2026-01-02 00:00:00 UTC" > submitted/mara/week1/timestamp.txt
nbgrader autograde week1 --create >> log 2>&1 || { cat log; exit 2; }
left() {
    python - "$1" <<'END'
import sys

from nbgrader.api import Gradebook

with Gradebook("sqlite:///gradebook.db") as book:
    if sys.argv[1] == "mark":
        grade = book.find_grade("written", "week1", "week1", "mara")
        grade.manual_score, grade.needs_manual_grade = 2.0, False
        book.db.commit()
END
    nbgrader export --to marks.csv >> log 2>&1 || { cat log; exit 2; }
    python -c "import csv; [row] = csv.DictReader(open('marks.csv')); print(*(float(row[k] or 0) for k in ('raw_score', 'late_submission_penalty', 'score')))"
}
before=$(left look)
after=$(left mark)
nbgrader autograde week1 --force >> log 2>&1 || { cat log; exit 2; }
again=$(left look)
echo "points, taken for being late, left: $before; marked by hand: $after; autograded again: $again"
[ "$before" = "1.0 1.0 0.0" ] || { echo "changed"; exit 1; }
[ "$after" = "3.0 1.0 2.0" ] || { echo "changed: marks by hand are no longer kept by late work"; exit 1; }
[ "$again" = "3.0 3.0 0.0" ] || { echo "changed: to autograde again mends nothing"; exit 1; }
