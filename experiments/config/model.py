"""What all models of configuration have in common: frozen, no unknown keys, names that are words."""

import re
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class Part(BaseModel):
    """A mapping in a configuration file. Keys that it does not know are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True)

    earlier: ClassVar[tuple[str, ...]] = ()
    """Keys that the file may have besides: they are used up while it is read."""


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
"""A name that the testbed gives to a thing. It becomes part of MQTT topics and file names, hence a word."""

Text = Annotated[str, StringConstraints(max_length=500)]


_NUMBER = "[1-9][0-9]{0,3}"


class Channel(str):
    """A numbered connector of an instrument, written `NAME.NUMBER`: `hub_tagger.1`.

    A string, with its two halves as `instrument` and `number` (from 1).
    """

    __slots__ = ()

    @property
    def instrument(self) -> str:
        return self.rpartition(".")[0]

    @property
    def number(self) -> int:
        return int(self.rpartition(".")[2])

    @classmethod
    def parse(cls, text: str) -> "Channel":
        """Raises ValueError with the form that is expected."""
        name, _, number = text.rpartition(".")
        if not (name and re.fullmatch(_NUMBER, number)):
            raise ValueError(f"{text!r} is no channel of an instrument; write NAME.NUMBER, like hub_tagger.1")
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(max_length=80)
        return core_schema.no_info_after_validator_function(cls.parse, text)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": rf"^.+\.{_NUMBER}$"}


Number = Annotated[float, Strict()]
"""A plain number; text that looks like one is refused."""

Positive = Field(gt=0)
NotNegative = Field(ge=0)
