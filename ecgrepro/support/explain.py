"""Errors of pydantic, in words."""

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each wrong key: its path, and what was given or what is allowed.

    Parameters
    ----------
    error
        What ``model`` raised.
    model
        The settings that were validated.
    """
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
        if problem["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key{_siblings(model, problem['loc'])}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: missing")
        else:
            lines.append(f"{key}: {problem['msg']} (given: {problem['input']!r})")
    return lines


def _siblings(model: type[BaseModel], location: tuple) -> str:
    """The keys that are allowed where an unknown one stands."""
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        model = annotation
    return f"; allowed: {', '.join(model.model_fields)}"
