"""A plan as text, JSON, Mermaid or Graphviz. Pure."""

from collections.abc import Sequence

import msgspec

from k3dasync.events import PlannedTask


def draw(plan: Sequence[PlannedTask], how: str) -> str:
    """Return the plan drawn as `text`, `json`, `mermaid` or `dot`."""
    match how:
        case "json":
            return msgspec.json.format(msgspec.json.encode(plan), indent=2).decode()
        case "mermaid":
            return mermaid(plan)
        case "dot":
            return dot(plan)
        case _:
            return text(plan)


def text(plan: Sequence[PlannedTask]) -> str:
    """Return one line a task: id, what it does, what it waits for."""
    position = {task.id: index for index, task in enumerate(plan)}
    width = max((len(task.id) for task in plan), default=0)
    lines = []
    for task in plan:
        needs = sorted(task.needs, key=position.__getitem__)
        arrow = f"  <- {', '.join(needs)}" if needs else ""
        lines.append(f"{task.id:<{width}}  {task.does}{arrow}")
    return "\n".join(lines)


def mermaid(plan: Sequence[PlannedTask]) -> str:
    """Return a Mermaid flow chart, arrows from what is needed to what needs it."""
    number = {task.id: f"t{index}" for index, task in enumerate(plan)}
    lines = ["flowchart LR"]
    lines += [f'  {number[task.id]}["{task.id}<br/>{_safe(task.does)}"]' for task in plan]
    lines += [
        f"  {number[need]} --> {number[task.id]}" for task in plan for need in sorted(task.needs)
    ]
    return "\n".join(lines)


def _safe(text: str) -> str:
    return text.replace('"', "&quot;")


def dot(plan: Sequence[PlannedTask]) -> str:
    """Return a Graphviz digraph, arrows as above."""
    lines = ["digraph plan {", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f"  {_quoted(task.id)};" for task in plan]
    lines += [
        f"  {_quoted(need)} -> {_quoted(task.id)};" for task in plan for need in sorted(task.needs)
    ]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
