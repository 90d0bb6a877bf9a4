"""The published descriptions of our interfaces say what the code does."""

from launcher.specifications import FOLDER, texts


async def test_asyncapi_openapi_and_settings_are_up_to_date() -> None:
    found = await texts()
    stale = [path.name for path, text in found.items() if not path.exists() or path.read_text() != text]
    assert not stale, "run `make specs`"
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in found if path.parent == FOLDER}
