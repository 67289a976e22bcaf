"""Objects by name: as keywords, in a mapping, in mappings of their own."""

import pytest
import torch
from torch import nn

import optimkit
from optimkit import CheckpointDir, MismatchError
from optimkit.checkpoint import distributed


def build(lr=0.1):
    """Return a model, and an optimizer for each of its layers, after a step."""
    model = nn.ModuleDict({"body": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    optimizers = {
        "sgd": torch.optim.SGD(model["body"].parameters(), lr=lr, momentum=0.9),
        "adam": torch.optim.Adam(model["head"].parameters(), lr=lr),
    }
    for number, param in enumerate(model.parameters()):
        param.grad = torch.full_like(param, number + lr)
    for optimizer in optimizers.values():
        optimizer.step()
    return model, optimizers


def states(optimizers):
    """Return the state dict of each, to be compared."""
    return repr({name: each.state_dict() for name, each in sorted(optimizers.items())})


def directory(folder):
    """Return functions that save into a CheckpointDir and restore from it."""
    checkpoints = CheckpointDir(folder)
    return (
        lambda objects=None, **more: checkpoints.save(1, None, objects, **more),
        lambda objects=None, **more: checkpoints.restore(objects=objects, **more),
    )


def one_file(folder):
    """Return functions that save into a file and load it."""
    path = folder / "last.pt"
    return (
        lambda *objects, **more: optimkit.save(path, *objects, **more),
        lambda *objects, **more: optimkit.load(path, *objects, **more),
    )


def many_files(folder):
    """Return functions that save into a directory of many processes and load it."""
    path = folder / "last"
    return (
        lambda *objects, **more: distributed.save(path, *objects, **more),
        lambda *objects, **more: distributed.load(path, *objects, **more),
    )


@pytest.mark.parametrize("keep", [one_file, directory, many_files])
def test_a_mapping_does_what_keywords_do(tmp_path, keep):
    """Names that can't be keywords are given in a mapping; both may be given together."""
    save, load = keep(tmp_path)
    saved, fresh = nn.Linear(2, 1), nn.Linear(2, 1)
    average = nn.Linear(2, 1)
    save({"strict": saved, "my model": average}, epoch=3)
    again = nn.Linear(2, 1)
    loaded = load({"my model": again, "strict": fresh})
    assert torch.equal(fresh.weight, saved.weight)
    assert torch.equal(again.weight, average.weight)
    assert dict(loaded) == {"epoch": 3}
    assert list(loaded.reports) == ["my model", "strict"]


@pytest.mark.parametrize("keep", [one_file, directory, many_files])
def test_a_mapping_of_optimizers(tmp_path, keep):
    """Optimizers in a mapping are loaded by its name and theirs, their state by parameter names."""
    save, load = keep(tmp_path)
    model, optimizers = build()
    save(model=model, optimizers=optimizers, history={"loss": [1.0]})
    again, others = build(lr=0.5)
    loaded = load(optimizers=dict(reversed(others.items())), model=again)
    assert states(others) == states(optimizers)
    assert list(loaded.reports) == ["optimizers.adam", "optimizers.sgd", "model"]
    assert loaded.reports["optimizers.sgd"].match == "name"
    assert loaded.reports["optimizers.sgd"].name == "optimizers.sgd"
    assert dict(loaded) == {"history": {"loss": [1.0]}}


def test_a_mapping_is_nested_in_the_file(tmp_path):
    """Plain torch reads it as it was given."""
    model, optimizers = build()
    path = optimkit.save(tmp_path / "last.pt", model=model, optimizers=optimizers)
    found = torch.load(path, weights_only=True)
    assert list(found) == ["model", "optimizers", "__optimkit__"]
    assert repr(found["optimizers"]["adam"]) == repr(optimizers["adam"].state_dict())
    assert list(found["__optimkit__"]["objects"]) == ["model", "optimizers.sgd", "optimizers.adam"]


def test_a_part_of_a_mapping(tmp_path):
    """One optimizer of several may be loaded."""
    model, optimizers = build()
    path = optimkit.save(tmp_path / "last.pt", optimizers=optimizers, model=model)
    again, others = build(lr=0.5)
    loaded = optimkit.load(path, optimizers={"sgd": others["sgd"]}, model=again)
    assert others["sgd"].param_groups[0]["lr"] == 0.1
    assert others["adam"].param_groups[0]["lr"] == 0.5
    assert dict(loaded) == {}


def test_two_models_in_a_mapping(tmp_path):
    """Models in a mapping name the parameters of an optimizer beside them."""
    saved, fresh = ([nn.Linear(2, 2), nn.Linear(2, 2)] for _ in range(2))
    one = torch.optim.SGD([p for each in saved for p in each.parameters()], lr=0.1, momentum=0.9)
    two = torch.optim.SGD(
        [p for each in fresh[::-1] for p in each.parameters()], lr=0.1, momentum=0.9
    )
    for number, param in enumerate(p for each in saved for p in each.parameters()):
        param.grad = torch.full_like(param, float(number))
    one.step()
    path = optimkit.save(tmp_path / "a.pt", models=dict(zip("ab", saved, strict=True)), o=one)
    report = optimkit.load(path, models=dict(zip("ab", fresh, strict=True)), o=two).reports["o"]
    assert report.match == "name"
    for before, after in zip(saved, fresh, strict=True):
        assert torch.equal(
            one.state[before.weight]["momentum_buffer"], two.state[after.weight]["momentum_buffer"]
        )


def test_a_plain_file_may_be_nested(tmp_path):
    """In a file of torch.save, a mapping is found in the same place."""
    _, optimizers = build()
    path = tmp_path / "plain.pt"
    content = {name: each.state_dict() for name, each in optimizers.items()}
    torch.save({"optimizers": content, "epoch": 3}, path)
    _, others = build(lr=0.5)
    with pytest.warns(UserWarning, match=r"^optimizers\.(sgd|adam) was matched by position"):
        loaded = optimkit.load(path, optimizers=others)
    assert states(others) == states(optimizers)
    assert dict(loaded) == {"epoch": 3}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            lambda o: {"optimizers": {"muon": o["sgd"]}},
            "optimizers.muon: {path} has nothing under this name; it has 'model', "
            "'optimizers.sgd', 'optimizers.adam'. Pass the object under its name there.",
        ),
        (
            lambda o: {"optimizers": o["sgd"]},
            "optimizers: {path} has nothing under this name; it has 'model', 'optimizers.sgd', "
            "'optimizers.adam'. Pass the object under its name there.",
        ),
        (
            lambda o: {"model": o},
            "model.sgd: {path} has nothing under this name; it has 'model', 'optimizers.sgd', "
            "'optimizers.adam'. Pass the object under its name there.",
        ),
    ],
    ids=["another name", "no mapping", "a mapping in place of one"],
)
def test_a_mapping_that_does_not_fit(tmp_path, given, problem):
    """The names of what there is are written as reports have them."""
    model, optimizers = build()
    path = optimkit.save(tmp_path / "last.pt", model=model, optimizers=optimizers)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, given(optimizers))
    assert caught.value.problems[0] == problem.format(path=path)


MODEL = nn.Linear(1, 1)
TAKEN = (
    "{name} can't be a keyword for an object: save or load has an argument of this name. Pass it "
    'in a mapping: {{"{name}": ...}}.'
)


@pytest.mark.parametrize(
    ("objects", "keywords", "text"),
    [
        (
            MODEL,
            {},
            "objects must be a mapping, not Linear. Give it a name, as in "
            '{"model": model} or model=model.',
        ),
        (
            [MODEL],
            {},
            "objects must be a mapping, not list. Give it a name, as in "
            '{"model": model} or model=model.',
        ),
        (
            MODEL.state_dict(),
            {},
            "this is one state dict, where objects by name were expected. Give it a name, as in "
            '{"model": ...}.',
        ),
        ({1: MODEL, "a": MODEL}, {}, "names must be strings, not 1."),
        (None, {"a": {1: MODEL}}, "names must be strings, not 1."),
        (
            {"a": MODEL, "b": MODEL},
            {"b": MODEL},
            "b is given twice, in the mapping and as a keyword. Leave one out.",
        ),
        (
            {"a.b": MODEL},
            {"a": {"b": MODEL}},
            "a.b is the name of an object, and of one in a mapping. Call one of them something "
            "else.",
        ),
        (
            {"__optimkit__": MODEL},
            {},
            "__optimkit__ can't be the name of an object: the header of the file has it. Call it "
            "something else.",
        ),
    ],
    ids=[
        "no mapping",
        "a list",
        "a state dict",
        "no string",
        "none inside",
        "twice",
        "dots",
        "header",
    ],
)
@pytest.mark.parametrize("function", ["save", "load"])
def test_misuse(tmp_path, function, objects, keywords, text):
    """What can't be is said before a file is touched."""
    with pytest.raises(TypeError) as caught:
        getattr(optimkit, function)(tmp_path / "a.pt", objects, **keywords)
    assert str(caught.value) == f"{function}: {text}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("save", "strict"),
        ("save", "options"),
        ("save", "match"),
        ("save", "verify"),
        ("save", "map_location"),
        ("load", "metadata"),
        ("load", "durable"),
    ],
)
def test_names_that_are_arguments(tmp_path, function, name):
    """A keyword that the other function means something by is refused; in a mapping it will do."""
    with pytest.raises(TypeError) as caught:
        getattr(optimkit, function)(tmp_path / "a.pt", **{name: MODEL})
    assert str(caught.value) == f"{function}: {TAKEN.format(name=name)}"
    path = optimkit.save(tmp_path / "a.pt", {name: MODEL})
    assert list(optimkit.load(path, {name: nn.Linear(1, 1)}).reports) == [name]


def test_objects_and_plain_values_in_one_mapping(tmp_path):
    """Such a mapping is refused when it is saved."""
    with pytest.raises(TypeError) as caught:
        optimkit.save(tmp_path / "a.pt", parts={"model": MODEL, "epoch": 3})
    assert str(caught.value) == (
        "save: parts holds objects, and epoch, which is of int and has no state_dict. Save plain "
        "values under names of their own."
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"parts": {"model": MODEL, "epoch": 3}},
            "parts.epoch is of int, which has no load_state_dict. Leave it out.",
        ),
        (
            {"parts": {"epoch": 3}},
            "parts is of dict, which has no load_state_dict. Leave it out: a plain value comes "
            'back, as load(...)["parts"].',
        ),
    ],
    ids=["mixed", "plain"],
)
def test_a_mapping_that_nothing_is_loaded_into(tmp_path, given, text):
    """Only objects can be loaded into."""
    path = optimkit.save(tmp_path / "a.pt", model=MODEL)
    with pytest.raises(TypeError) as caught:
        optimkit.load(path, given)
    assert str(caught.value) == f"load: {text}"


def test_plain_mappings_stay_plain(tmp_path):
    """A mapping without objects is a plain value, an empty one too."""
    path = optimkit.save(tmp_path / "a.pt", {"history": {1: 2.0}, "notes": {}})
    assert dict(optimkit.load(path)) == {"history": {1: 2.0}, "notes": {}}


def test_match_by_position(tmp_path):
    """match="position" goes by order, without a warning, though there are names."""
    saved, fresh = (nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}) for _ in range(2))
    one = torch.optim.SGD(saved.parameters(), lr=0.1, momentum=0.9)
    two = torch.optim.SGD([*fresh["b"].parameters(), *fresh["a"].parameters()], lr=0.1)
    for number, param in enumerate(saved.parameters()):
        param.grad = torch.full_like(param, float(number))
    one.step()
    path = optimkit.save(tmp_path / "a.pt", model=saved, optimizer=one)
    report = optimkit.load(path, model=fresh, optimizer=two, match="position").reports["optimizer"]
    assert (report.match, report.notes) == ("position", ())
    assert torch.equal(
        two.state[fresh["b"].weight]["momentum_buffer"],
        one.state[saved["a"].weight]["momentum_buffer"],
    )
