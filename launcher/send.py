"""`firstnotice send`: posts files as a records system does."""

from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import orjson

from kernel.errors import ConfigurationError, Unavailable
from launcher.examples import AMENDMENT, Poster
from launcher.home import at


async def send_files(files: Sequence[Path], data_dir: Path, url: str, say: Callable[[str], None]) -> None:
    """Reports first, then amendments. Raises Refused, ConfigurationError, Unavailable."""
    poster = Poster(at(data_dir), url)
    try:
        for file in sorted(files, key=lambda file: file.name.endswith(AMENDMENT)):
            amends = file.name.endswith(AMENDMENT)
            report = file.with_name(file.name.removesuffix(AMENDMENT) + ".json") if amends else file
            body, agency = _report(report)
            # Posting the report again changes nothing and tells which encounter it became.
            answer = await poster.report(body, agency)
            if amends:
                answer = await poster.amend(answer["encounter_id"], file.read_bytes(), agency)
            say(f"{answer['encounter_id']}  {file.name}")
    except httpx.HTTPError as error:
        raise Unavailable(
            f"intake does not answer at {url} ({type(error).__name__}): is `firstnotice up` running?"
        ) from None
    finally:
        await poster.close()


def _report(path: Path) -> tuple[bytes, str]:
    try:
        body = path.read_bytes()
        agency = orjson.loads(body)["agency_ori"]
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}); an amendment needs its report") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{path} is not an encounter report: it needs agency_ori") from None
    return body, str(agency)
