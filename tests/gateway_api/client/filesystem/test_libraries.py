"""What people use the file system with, on files as they have them."""

from __future__ import annotations

from typing import Any

import dask
import dask.dataframe
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
import pytest
import xarray as xr
from scigate.gateway_api.client.filesystem import ScigateFileSystem

HOURS = 20_000


@pytest.fixture(scope="module")
def readings() -> pd.DataFrame:
    """Hourly readings of a few stations: times, numbers with gaps, and names that are not ASCII."""
    chance = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "time": pd.date_range("2026-01-01", periods=HOURS, freq="h"),
            "station": chance.choice(["Zürich", "São Paulo", "Ōsaka"], HOURS),
            "temperature": np.where(chance.random(HOURS) < 0.01, np.nan, chance.normal(11, 8, HOURS).round(2)),
            "count": chance.integers(0, 1 << 40, HOURS),
        }
    )


def test_pandas_csv(place: str, readings: pd.DataFrame) -> None:
    readings.to_csv(f"scigate://{place}/readings.csv", index=False)
    found = pd.read_csv(f"scigate://{place}/readings.csv", parse_dates=["time"])
    pd.testing.assert_frame_equal(found, readings, check_dtype=False)


def test_pandas_csv_compressed(place: str, readings: pd.DataFrame) -> None:
    readings.to_csv(f"scigate://{place}/readings.csv.gz", index=False)
    found = pd.read_csv(f"scigate://{place}/readings.csv.gz", usecols=["count"], nrows=100)
    assert found["count"].tolist() == readings["count"][:100].tolist()


def test_pandas_parquet(place: str, readings: pd.DataFrame) -> None:
    readings.to_parquet(f"scigate://{place}/readings.parquet")
    found = pd.read_parquet(f"scigate://{place}/readings.parquet", columns=["station", "temperature"])
    pd.testing.assert_frame_equal(found, readings[["station", "temperature"]], check_dtype=False)


def test_pandas_with_the_token_as_an_option(
    place: str, readings: pd.DataFrame, service: Any, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    readings.to_csv(f"scigate://{place}/readings.csv", index=False)
    for name in ("SCIGATE_URL", "SCIGATE_TOKEN"):
        monkeypatch.delenv(name)
    options = {"url": service.url, "token": environment["SCIGATE_TOKEN"]}
    assert len(pd.read_csv(f"scigate://{place}/readings.csv", storage_options=options)) == HOURS


def test_a_table_that_cannot_be_written_leaves_nothing(fs: ScigateFileSystem, place: str) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ValueError("no text")

    table = pd.DataFrame({"a": [1] * 10_000 + [Unprintable()]})
    with pytest.warns(UserWarning, match="not stored"), pytest.raises(ValueError, match="no text"):
        table.to_csv(f"scigate://{place}/broken.csv", chunksize=100)
    assert not fs.exists(f"{place}/broken.csv")


def test_xarray_netcdf(fs: ScigateFileSystem, place: str) -> None:
    times = pd.date_range("2026-01-01", periods=48, freq="h")
    values = np.random.default_rng(3).normal(280, 10, (48, 60, 90)).astype("float32")
    grid = {"time": times, "lat": np.linspace(-89, 89, 60), "lon": np.arange(90) * 4.0}
    written = xr.Dataset({"t2m": (("time", "lat", "lon"), values, {"units": "K"})}, grid)
    with fs.open(f"{place}/t2m.nc", "wb") as file:
        file.write(bytes(written.to_netcdf(engine="h5netcdf", encoding={"t2m": {"chunksizes": (1, 60, 90)}})))
    with (
        fs.open(f"{place}/t2m.nc") as file,
        xr.open_dataset(file, engine="h5netcdf") as found,
    ):
        assert found["t2m"].attrs["units"] == "K"
        np.testing.assert_array_equal(found["t2m"].isel(time=47).values, values[47])
        xr.testing.assert_equal(found.load(), written)


def test_xarray_opens_a_url(fs: ScigateFileSystem, place: str) -> None:
    data = xr.Dataset({"a": ("x", np.arange(1000))})
    fs.pipe_file(f"{place}/a.nc", bytes(data.to_netcdf(engine="h5netcdf")))
    with xr.open_dataset(f"scigate://{place}/a.nc", engine="h5netcdf") as found:
        xr.testing.assert_equal(found.load(), data)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_dask_csv(fs: ScigateFileSystem, place: str, readings: pd.DataFrame, scheduler: str) -> None:
    for number, part in enumerate(np.array_split(np.arange(HOURS), 4)):
        readings.iloc[part].to_csv(f"scigate://{place}/parts/{number}.csv", index=False)
    table = dask.dataframe.read_csv(f"scigate://{place}/parts/*.csv", blocksize=60_000)
    assert table.npartitions > 4
    with dask.config.set(scheduler=scheduler, num_workers=2):
        assert int(table["count"].sum().compute()) == int(readings["count"].sum())


def test_dask_parquet(fs: ScigateFileSystem, place: str, readings: pd.DataFrame) -> None:
    written = dask.dataframe.from_pandas(readings, npartitions=3)
    with dask.config.set(scheduler="threads", num_workers=2):
        written.to_parquet(f"scigate://{place}/table")
        assert len(fs.glob(f"{place}/table/*.parquet")) == 3
        found = dask.dataframe.read_parquet(f"scigate://{place}/table", columns=["count", "time"])
        assert int(found["count"].sum().compute()) == int(readings["count"].sum())


def test_pyarrow_parquet(fs: ScigateFileSystem, place: str, readings: pd.DataFrame) -> None:
    arrow = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    table = pa.Table.from_pandas(readings)
    pyarrow.parquet.write_to_dataset(table, f"{place}/dataset", partition_cols=["station"], filesystem=arrow)
    found = pyarrow.parquet.read_table(
        f"{place}/dataset", filesystem=arrow, columns=["count"], filters=[("station", "=", "Ōsaka")]
    )
    assert found["count"].to_pylist() == readings[readings["station"] == "Ōsaka"]["count"].tolist()
    (info,) = arrow.get_file_info([f"{place}/nothing"])
    assert info.type == pyarrow.fs.FileType.NotFound


@pytest.mark.parametrize("read", [pd.read_csv, pd.read_parquet, xr.open_dataset])
def test_what_is_another_users_is_not_there(read: Any) -> None:
    options = {"engine": "h5netcdf"} if read is xr.open_dataset else {}
    with pytest.raises(FileNotFoundError):
        read("scigate://hidden/secret", **options)
    with pytest.raises(FileNotFoundError):
        pd.DataFrame({"a": [1]}).to_csv("scigate://hidden/mine.csv")
