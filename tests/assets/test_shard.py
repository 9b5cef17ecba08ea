from itertools import product

from ingestgate.assets.shard import Kind, Member, Sample, accountable_members, sidecar_members


def test_every_member_is_accountable_or_a_sidecar_of_one_that_is() -> None:
    for kinds in product((Kind.PICTURE, Kind.SIDECAR), repeat=4):
        # Two columns may call a member the same: members are told apart by their place alone.
        members = tuple(Member("m", 0, b"", kind) for kind in kinds)
        sample = Sample("k", members)
        own, others = accountable_members(sample), sidecar_members(sample)
        assert len(own) + len(others) == len(members)
        assert own[0] is members[kinds.index(Kind.PICTURE) if Kind.PICTURE in kinds else 0]
        assert {member.kind for member in others} <= {Kind.SIDECAR}


def test_time_grows_with_the_number_of_members() -> None:
    class Counted(Member):
        """Counts how often members are compared."""

        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return self is other

        __hash__ = Member.__hash__

    kinds = (Kind.PICTURE, Kind.SIDECAR)
    members = tuple(Counted(str(n), n, b"", kinds[n % 2]) for n in range(100))
    assert sidecar_members(Sample("k", members)) == members[1::2]
    Counted.compared = 0
    sidecar_members(Sample("k", members))
    assert not Counted.compared
