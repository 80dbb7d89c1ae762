"""What the service is asked and what it answers. Requests are checked against these; answers are only described."""

from __future__ import annotations

from typing import Annotated, Any, Optional, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from recbole_hetcomp.serving import K

MAX_K = 1_000
"""Items of a list at most."""
MAX_USERS = 1_000
"""Users of a request at most."""
MAX_ANSWER = 100_000
"""Items of an answer at most: users times k."""
MAX_BODY = 1 << 20
"""Bytes of a request at most."""

_ID_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
_USERS_SCHEMA: dict[str, Any] = {
    "anyOf": [*_ID_SCHEMA["anyOf"], {"type": "array", "items": _ID_SCHEMA, "minItems": 1, "maxItems": MAX_USERS}],
    "description": f"A user's id, or up to {MAX_USERS:,} of them.",
}


def _whole(value: Any) -> Any:
    """JSON knows no difference between 5 and 5.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_text(value: Any) -> Any:
    value = _whole(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Id = Annotated[str, Field(strict=True), BeforeValidator(_as_text), WithJsonSchema(_ID_SCHEMA)]
Users = Annotated[
    list[Id],
    Field(min_length=1, max_length=MAX_USERS),
    BeforeValidator(_as_list),
    WithJsonSchema(_USERS_SCHEMA),
]
ListLength = Annotated[int, Field(strict=True, ge=1, le=MAX_K, description="Items of a list."), BeforeValidator(_whole)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RecommendRequest(_Request):
    """Whose best items are asked for."""

    users: Users
    k: ListLength = K
    exclude: Annotated[list[Id], Field(description="Items that nobody gets here; unknown ones do not matter.")] = []
    titles: Annotated[bool, Field(strict=True, description="Whether items come with their titles.")] = False

    @model_validator(mode="after")
    def _bounded(self) -> RecommendRequest:
        if len(self.users) * self.k > MAX_ANSWER:
            raise ValueError(f"{len(self.users)} users with k={self.k} are more than {MAX_ANSWER} items: ask in parts")
        return self


class SimilarRequest(_Request):
    """Which item's neighbours are asked for."""

    item: Annotated[Id, Field(description="The item's id.")]
    k: ListLength = K
    titles: Annotated[bool, Field(strict=True, description="Whether items come with their titles.")] = False


class Item(BaseModel):
    """A place of a list."""

    item: str
    score: float
    title: Optional[str] = None


class List(BaseModel):
    """A user's list, best first."""

    user: str
    fallback: Annotated[bool, Field(description="The user is not known: these are the most popular items.")]
    items: list[Item]


class Recommendations(BaseModel):
    """One list a user, in the order of the request."""

    export: Annotated[str, Field(description="Which export the lists are of.")]
    lists: list[List]


class SimilarItems(BaseModel):
    """Items alike, by the cosine of their vectors."""

    export: str
    item: str
    title: Optional[str] = None
    items: list[Item]


class Shown(BaseModel):
    """An item as the page shows it."""

    item: str
    title: Optional[str] = None
    score: Optional[float] = None
    interactions: Annotated[int, Field(description="In training.")]


class UserPage(BaseModel):
    """All that the page shows of a user."""

    export: str
    user: str
    fallback: bool
    history: list[Shown]
    history_size: Annotated[int, Field(description="All items that the user has; the last of them are in history.")]
    student: list[Shown]
    ensemble: Annotated[Optional[list[Shown]], Field(description="None where the export carries none.")]
    milliseconds: Annotated[float, Field(description="What ranking took.")]


class KnownUsers(BaseModel):
    """Ids that begin alike."""

    users: list[str]


class Health(BaseModel):
    """What is served, and what was refused."""

    status: str
    export: dict[str, Any]
    loaded: Annotated[str, Field(description="When this worker took the export up.")]
    reloads: Annotated[int, Field(description="Exports that this worker took up after its first.")]
    refused: Annotated[Optional[str], Field(description="Why what lies in the folder now is not taken up.")]


class Problem(BaseModel):
    """Why a request was refused."""

    error: str


def in_words(error: ValidationError) -> str:
    """What is wrong with a request, in a line.

    >>> try:
    ...     RecommendRequest.model_validate_json('{"users": "1", "k": 0}')
    ... except ValidationError as error:
    ...     print(in_words(error))
    k: 0 is not allowed: Input should be greater than or equal to 1
    """
    return told(error.errors(include_url=False, include_context=False))


def told(errors: Any) -> str:
    """Pydantic's findings in a line, three of them at most."""
    found = []
    for error in errors[:3]:
        place = ".".join(str(part) for part in error["loc"] if part not in ("body", "query"))
        value: Union[str, None] = None
        if error["type"] not in ("missing", "json_invalid", "value_error", "too_long", "too_short"):
            value = repr(error["input"])
        shown = "" if value is None else f"{value if len(value) <= 40 else value[:40] + '…'} is not allowed: "
        found.append(": ".join(filter(None, [place, shown + error["msg"].replace("Value error, ", "")])))
    return "; ".join(found)
