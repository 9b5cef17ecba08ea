import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.testing import test_pipeline, test_stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, SlidingWindows, TimestampedValue
from apache_beam.utils.timestamp import MAX_TIMESTAMP, Timestamp
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming

from ingestgate.assets.errors import ListError, PolicyError, SelfTestError
from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.blocklists import selftest as lists_selftest
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.exemptions import except_list
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.signing import sign_list
from ingestgate.fingerprints import selftest
from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.transforms import batching, settings
from ingestgate.transforms.gate import Gate, _JudgeAssets
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.records import Asset, JudgedAsset
from ingestgate.transforms.settings import open_judge
from tests.faults.clock import Clock
from tests.pictures import jpeg
from tests.transforms.conftest import LISTED_EXACT, LISTED_NEAR

ASSETS = [
    Asset("clean", jpeg(100), {"url": "https://fine.example/a.jpg"}),
    Asset("exact", jpeg(LISTED_EXACT), {}),
    Asset("near", jpeg(LISTED_NEAR, quality=60), {}),
    Asset("source", jpeg(101), {"page_url": "https://www.listed.example/"}),
    Asset("url only", None, {"url": "https://fine.example/b.jpg"}),
    Asset("broken", b"not a picture", {}),
    Asset("nothing", None, {}),
]
EXPECTED = {
    "admitted": [("clean", "clean"), ("url only", "clean")],
    "quarantined": [("exact", "matched"), ("near", "matched"), ("source", "matched")],
    "unscannable": [("broken", "unsupported_media"), ("nothing", "nothing_to_check")],
}


def _check(judged: dict[str, beam.PCollection[JudgedAsset]]) -> None:
    for name, expected in EXPECTED.items():
        said = judged[name] | f"{name} reasons" >> beam.Map(lambda j: (j.asset.asset_id, j.reason))
        assert_that(said, equal_to(expected), label=f"check {name}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_batch(lists: str) -> None:
    with test_pipeline.TestPipeline("FnApiRunner") as pipeline:
        _check(pipeline | beam.Create(ASSETS).with_output_types(Asset) | Gate(lists))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_unbounded_stream(lists: str) -> None:
    options = PipelineOptions()
    options.view_as(StandardOptions).streaming = True
    stream = test_stream.TestStream(coder=beam.coders.registry.get_coder(Asset))
    for number, asset in enumerate(ASSETS):
        stream = stream.advance_watermark_to(number).add_elements([asset])
    stream = stream.advance_watermark_to_infinity()
    # Of the local runners, this one knows test streams.
    with test_pipeline.TestPipeline("BundleBasedDirectRunner", options=options) as pipeline:
        _check(pipeline | stream.with_output_types(Asset) | Gate(lists))


class _Said(beam.DoFn):
    """Yields what an output says of an asset, and where in time it is."""

    def process(
        self,
        judged: JudgedAsset,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        yield judged.asset.asset_id, judged.verdict, timestamp, window.start, window.end


SOME = ASSETS[:3] + ASSETS[5:]  # of each verdict
VERDICTS = [(asset_id, name) for name in EXPECTED for asset_id, _ in EXPECTED[name]]


def _said(judged: dict[str, beam.PCollection[JudgedAsset]]) -> beam.PCollection:
    said = [judged[name] | f"{name} said" >> beam.ParDo(_Said()) for name in EXPECTED]
    return tuple(said) | beam.Flatten()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("runner", ["FnApiRunner", "BundleBasedDirectRunner"])
@pytest.mark.parametrize(
    ("windowing", "size"),
    [(FixedWindows(10), 10), (SlidingWindows(20, 10), 20)],
    ids=["fixed", "sliding"],
)
@pytest.mark.parametrize("most", [1, 32])
def test_every_asset_keeps_its_time_and_its_windows(
    lists: str,
    monkeypatch: pytest.MonkeyPatch,
    runner: str,
    windowing: object,
    size: int,
    most: int,
) -> None:
    monkeypatch.setattr(batching, "SAMPLES", most)
    verdict = dict(VERDICTS)
    expected = []
    for number, asset in enumerate(SOME):
        at = number * 7
        first = at // 10 * 10
        for start in range(first + 10 - size, first + 10, 10):
            expected.append((asset.asset_id, verdict[asset.asset_id], at, start, start + size))
    with test_pipeline.TestPipeline(runner) as pipeline:
        assets = (
            pipeline
            | beam.Create(list(enumerate(SOME)))
            | beam.Map(lambda one: TimestampedValue(one[1], one[0] * 7)).with_output_types(Asset)
            | beam.WindowInto(windowing)
        )
        assert_that(_said(assets | Gate(lists)), equal_to(expected))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nothing_is_lost_at_the_end_of_bundles_of_any_size(lists: str) -> None:
    few, many = ASSETS[:1], [Asset(f"{n}", None, {"url": "https://a.example/"}) for n in range(101)]
    for given in ([], few, many[:32], many[:33], many):
        with test_pipeline.TestPipeline("FnApiRunner") as pipeline:
            created = pipeline | beam.Create(given).with_output_types(Asset)
            judged = created | beam.Reshuffle().with_output_types(Asset) | Gate(lists)
            said = judged["admitted"] | beam.Map(lambda one: one.asset.asset_id)
            assert_that(said, equal_to([asset.asset_id for asset in given]))


def opened(lists: str, policy: Policy | None = None) -> _JudgeAssets:
    dofn = _JudgeAssets(policy or Policy(), lists, Gate(lists)._digest)
    dofn.setup()
    dofn.start_bundle()
    return dofn


def test_assets_of_a_bundle_are_judged_together_up_to_a_size(
    lists: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BYTES", 1000)
    dofn = opened(lists)
    pane = PaneInfo(True, False, PaneInfoTiming.EARLY, 3, 0)
    came = []
    for number, size in enumerate([400, 500, 200, 2000, 0]):
        window = beam.window.IntervalWindow(number, number + 1)
        asset = Asset(f"{number}", b"x" * size, {})
        out = list(dofn.process(asset, Timestamp(number), window, pane))
        came.append([each.value.value.asset.asset_id for each in out])
    assert came == [[], [], ["0", "1"], ["2"], ["3"]]
    (last,) = dofn.finish_bundle()
    assert last.tag == "unscannable"
    assert last.value.pane_info == pane
    assert last.value.timestamp == 4
    assert last.value.windows == [beam.window.IntervalWindow(4, 5)]
    assert list(dofn.finish_bundle()) == []


def test_what_a_bundle_that_failed_has_left_is_forgotten(lists: str) -> None:
    dofn = opened(lists)
    window = beam.window.GlobalWindow()
    assert list(dofn.process(ASSETS[0], MAX_TIMESTAMP, window, PaneInfo(True, True, 0, 0, 0))) == []
    dofn.start_bundle()
    assert list(dofn.finish_bundle()) == []


def test_an_asset_that_a_check_fails_on_costs_no_other_its_verdict(
    lists: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guilty = jpeg(102)
    plain = Fingerprinter._fingerprint

    def broken(self: Fingerprinter, content: bytes, *, colour: bool) -> Fingerprint:
        if content == guilty:
            raise RuntimeError
        return plain(self, content, colour=colour)

    monkeypatch.setattr(Fingerprinter, "_fingerprint", broken)
    dofn = opened(lists, Policy(decoder="in_process"))
    window = beam.window.GlobalWindow()
    for asset in (ASSETS[0], Asset("guilty", guilty, {}), ASSETS[2], ASSETS[5]):
        assert list(dofn.process(asset, MAX_TIMESTAMP, window, None)) == []
    said = [(out.tag, out.value.value.reason) for out in dofn.finish_bundle()]
    assert said == [
        ("admitted", "clean"),
        ("unscannable", "internal_error"),
        ("quarantined", "matched"),
        ("unscannable", "unsupported_media"),
    ]


def test_outputs_have_a_schema_and_no_fallback_coder(
    lists: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    with caplog.at_level(logging.WARNING):
        judged = pipeline | beam.Create(ASSETS).with_output_types(Asset) | Gate(lists)
        pipeline.to_runner_api()
    assert "fallback" not in caplog.text.lower()
    for output in judged.values():
        assert output.element_type is JudgedAsset
        assert isinstance(beam.coders.registry.get_coder(output.element_type), beam.coders.RowCoder)


def test_a_job_with_refused_lists_never_starts(tmp_path: object) -> None:
    with pytest.raises(ListError, match="no compiled list"):
        Gate(str(tmp_path))


def test_a_mapping_that_is_no_policy_is_refused(lists: str) -> None:
    with pytest.raises(PolicyError, match="require_sauce"):
        Gate(lists, policy={"require_sauce": True})


NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    settings._open_judge.cache_clear()
    yield Clock(monkeypatch.setattr)
    settings._open_judge.cache_clear()


@pytest.fixture
def expiring(tmp_path: Path) -> str:
    """Two lists, of which one expires in half a day."""
    (tmp_path / "md5").write_text("0123456789abcdef0123456789abcdef\n")
    for name, expires in (("lasting", NOW + 9 * DAY), ("expiring", NOW + DAY / 2)):
        compile_list(
            id=name,
            version=1,
            sources=[("md5", str(tmp_path / "md5"))],
            to=str(tmp_path / "lists"),
            issued=NOW - DAY,
            expires=expires,
        )
    return str(tmp_path / "lists")


def judged(dofn: _JudgeAssets) -> list[str]:
    """The outputs that the assets of one bundle are on."""
    dofn.start_bundle()
    out: list[Any] = []
    for asset in (ASSETS[0], ASSETS[3]):
        out += dofn.process(asset, MAX_TIMESTAMP, beam.window.GlobalWindow(), None)
    return [each.tag for each in (*out, *dofn.finish_bundle())]


def test_nothing_is_judged_with_a_list_that_has_expired_since(expiring: str, clock: Clock) -> None:
    dofn = opened(expiring)
    assert judged(dofn) == ["admitted", "admitted"]
    clock.ahead = DAY
    for _ in range(2):  # a bundle that failed is tried again
        with pytest.raises(ListError, match=r"list expiring version 1 expired .*; get the partner"):
            judged(dofn)


_CLOCKS: list[Clock] = []  # what runs in a pipeline finds it here


def _a_day_later(asset: Asset) -> Asset:
    _CLOCKS[-1].ahead = DAY
    return asset


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_list_that_expires_within_a_bundle(
    expiring: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "_CLOCKS", [clock])
    pipeline = test_pipeline.TestPipeline("FnApiRunner")
    assets = pipeline | beam.Create(ASSETS[:1]) | beam.Map(_a_day_later).with_output_types(Asset)
    admitted = (assets | Gate(expiring))["admitted"]
    assert_that(admitted | beam.Map(lambda one: one.asset.asset_id), equal_to([]))
    with pytest.raises(Exception, match="list expiring version 1 expired"):
        pipeline.run()


def test_an_exception_lets_it_go_on_until_it_ends(
    expiring: str, clock: Clock, tmp_path: Path
) -> None:
    line = generate_signing_key(str(tmp_path / "key"))
    key = read_signing_key(str(tmp_path / "key"))
    for name in ("expiring-1", "lasting-1"):
        sign_list(f"{expiring}/{name}", key, now=NOW)
    policy = Policy(trust={"keys": {"alice": line}})
    dofn = opened(expiring, policy)
    clock.ahead = DAY
    until = NOW + 2 * DAY
    except_list(f"{expiring}/expiring-1", key, until=until, reason="moving house", now=NOW)
    assert judged(dofn) == ["admitted", "admitted"]
    clock.ahead = 3 * DAY
    with pytest.raises(ListError, match=r"list expiring version 1 expired, and this exception"):
        judged(dofn)


def test_a_newer_list_wants_a_new_job(expiring: str, clock: Clock, tmp_path: Path) -> None:
    dofn = opened(expiring)
    clock.ahead = DAY
    source = ("md5", str(tmp_path / "md5"))
    compile_list(id="expiring", version=2, sources=[source], to=expiring, issued=NOW)
    with pytest.raises(ListError, match="not those the run began with; start the run again"):
        judged(dofn)


def test_nothing_is_judged_where_a_self_test_fails(
    lists: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings._open_judge.cache_clear()
    for self_test in (selftest.self_test, lists_selftest.self_test):
        self_test.cache_clear()  # as in a process of its own
    with monkeypatch.context() as patch:
        patch.setattr(selftest, "_SHA1_OF_ABC", "0" * 40)
        with pytest.raises(SelfTestError, match="the digest of a known text is wrong"):
            open_judge(Policy(), lists)
    with monkeypatch.context() as patch:
        patch.setattr(Matcher, "match_digest", lambda *arguments, **more: [])
        with pytest.raises(SelfTestError, match="self-test of md5"):
            open_judge(Policy(), lists)
