import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_brings_configs_maps_types_the_catalogue_and_the_shells_scripts(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run([*command, "--quiet", "--disable-pip-version-check"], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("rlrun-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for config in (ROOT / "conf").rglob("*.yaml"):
        assert f"rlrun/conf/{config.relative_to(ROOT / 'conf').as_posix()}" in names
    for grid in (ROOT / "rlrun/envs/maps").glob("*.txt"):
        assert f"rlrun/envs/maps/{grid.name}" in names
    for table in (ROOT / "rlrun/reports/data").glob("*.csv"):
        assert f"rlrun/reports/data/{table.name}" in names
    assert "rlrun/py.typed" in names
    for name in ("config/catalogue.json", *(f"cli/completion/rlrun.{shell}" for shell in ("bash", "zsh", "fish"))):
        assert f"rlrun/{name}" in names
    assert not any(name.startswith("tests/") for name in names)
