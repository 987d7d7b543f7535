"""Settings that come from environment variables: one class has names, types and documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)


class EnvironmentSettings(BaseSettings):
    """
    Values of environment variables. Field ``port`` is the variable ``<env_prefix>PORT``.

    Values come from the mapping that :meth:`read` gets and from nowhere else.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave out ``os.environ`` and files."""
        return (init_settings,)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """
        Return the settings in *environ*, with defaults for the rest.

        :raises pydantic.ValidationError: If a variable is missing or wrong; all are in it.
        """
        source = EnvSettingsSource(cls)
        ignores_empty = cls.model_config.get("env_ignore_empty")
        source.env_vars = {
            name.lower(): text for name, text in environ.items() if text or not ignores_empty
        }
        return cls(**source())

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the name of the environment variable of *field*."""
        return f"{cls.model_config['env_prefix']}{field}".upper()
