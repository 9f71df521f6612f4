"""Signed bundles: with a key asked for, whatever is not what was signed is refused, and the error says what it is."""

import hashlib
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from commands import invoke
from lineside.contract import CONTRACT_VERSION
from lineside.errors import BundleError, LinesideError, UsageError
from lineside.export.keys import key_id, read_public_key
from lineside.export.signing import make_keys, sign_bundle
from lineside.runtime import Inspector, load_bundle, verify_bundle
from tiny import seal, write_tiny_bundle

Spoil = Callable[[Path], None]
MAJOR, MINOR = CONTRACT_VERSION.split(".")
OTHER_MINOR = f"{MAJOR}.{9 - int(MINOR)}"
"""A version that is read, is not this one, and is as long."""
EARLIER = f"{int(MAJOR) - 1}.{MINOR}"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pair of keys: private, public."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def signed(proven: Path, keys: tuple[Path, Path]) -> Path:
    """A tiny bundle with vectors, signed."""
    sign_bundle(proven, keys[0])
    return proven


def test_a_signed_bundle_is_loaded_and_verified(signed: Path, keys: tuple[Path, Path]) -> None:
    """The signature of the right key passes, and the key is named."""
    name = key_id(read_public_key(keys[1]))
    assert Inspector(signed, require_key=keys[1]).signed_by == name
    assert load_bundle(signed, require_key=str(keys[1])).signed_by == name
    assert verify_bundle(signed, require_key=keys[1]).signed_by == name


def test_without_a_key_a_signature_changes_nothing(signed: Path) -> None:
    """A signed bundle loads and verifies where none is asked for, and is not called checked."""
    assert Inspector(signed).signed_by is None
    assert verify_bundle(signed).signed_by is None


def test_signing_again_replaces_the_signature(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """The last signature holds, and no other file is left behind."""
    private, public = make_keys(tmp_path / "other")
    before = sorted(signed.rglob("*"))
    sign_bundle(signed, private)
    assert sorted(signed.rglob("*")) == before
    assert Inspector(signed, require_key=public).signed_by
    with pytest.raises(BundleError, match="signed with the key"):
        Inspector(signed, require_key=keys[1])


def run_inspect(bundle: Path, images: Path, *options: str) -> Result:
    """Inspect images into out/."""
    return invoke("inspect", bundle, images, "--out", "out", "--workers", "1", *options)


def altered(name: str, *, sealed: bool) -> Spoil:
    """Append a byte to a file, with sums that fit it or not."""

    def spoil(bundle: Path) -> None:
        (bundle / name).write_bytes((bundle / name).read_bytes() + b"\n")
        if sealed:
            forge(bundle)

    return spoil


def forge(bundle: Path) -> None:
    """Make the sums fit again; the signature stays what it is."""
    signature = (bundle / "SIGNATURE.json").read_bytes()
    (bundle / "SIGNATURE.json").unlink()
    seal(bundle)
    (bundle / "SIGNATURE.json").write_bytes(signature)


def removed(bundle: Path) -> None:
    """Remove a vector's picture."""
    (bundle / "vectors" / "ok.png").unlink()


def removed_and_sealed(bundle: Path) -> None:
    """Remove it from the sums too."""
    removed(bundle)
    forge(bundle)


def added(bundle: Path) -> None:
    """Add a file."""
    (bundle / "vectors" / "more.u8").write_bytes(b"x")


def added_and_sealed(bundle: Path) -> None:
    """Add it to the sums too."""
    added(bundle)
    forge(bundle)


def linked(bundle: Path) -> None:
    """Put a link to the same content outside in place of a file."""
    file = bundle / "vectors" / "ok.png"
    outside = bundle.parent / "outside.png"
    shutil.move(file, outside)
    file.symlink_to(outside)


def vectors_swapped(bundle: Path) -> None:
    """Exchange two vectors' frames."""
    one, two = (bundle / "vectors" / f"{name}.u8" for name in ("ok", "ng"))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def vectors_swapped_and_sealed(bundle: Path) -> None:
    """Exchange them with sums that fit."""
    vectors_swapped(bundle)
    forge(bundle)


def of_version(version: str) -> Spoil:
    """State another version of the contract, in the file and in the model, with sums that fit."""

    def spoil(bundle: Path) -> None:
        stated, other = (f'"contract_version": "{said}"'.encode() for said in (CONTRACT_VERSION, version))
        for name in ("contract.json", "model.onnx"):
            content = (bundle / name).read_bytes()
            assert stated in content
            (bundle / name).write_bytes(content.replace(stated, other))
        forge(bundle)

    return spoil


def of_another_part(bundle: Path) -> None:
    """Put in another part's bundle, whole, under this one's signature."""
    for name in ("model.onnx", "contract.json"):
        shutil.copy(write_tiny_bundle(bundle.parent / "other", part="other") / name, bundle / name)
    forge(bundle)


def signature(**changes: object) -> Spoil:
    """Edit the signature's file."""

    def spoil(bundle: Path) -> None:
        file = bundle / "SIGNATURE.json"
        document = json.loads(file.read_text())
        for key, value in changes.items():
            (document["statement"] if key in document["statement"] else document)[key] = value
        file.write_text(json.dumps(document))

    return spoil


def restated(bundle: Path) -> None:
    """Alter a file, its sum, and what the signature says of the sums."""
    altered("vectors/vectors.json", sealed=True)(bundle)
    signature(sums_sha256=hashlib.sha256((bundle / "SHA256SUMS").read_bytes()).hexdigest())(bundle)


def written(content: bytes) -> Spoil:
    """Replace the signature's file."""
    return lambda bundle: (bundle / "SIGNATURE.json").write_bytes(content) and None


FILES = ("model.onnx", "contract.json", "vectors/vectors.json", "vectors/ok.u8", "vectors/ok.png", "vectors/ok.map.f32")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        *[pytest.param(altered(f, sealed=False), "the file was altered", id=f"{f} altered") for f in FILES],
        *[pytest.param(altered(f, sealed=True), "sums_sha256 was signed as", id=f"{f} forged") for f in FILES],
        pytest.param(altered("SHA256SUMS", sealed=False), "expected '<sha256>", id="sums altered"),
        pytest.param(removed, r"ok\.png: missing from the bundle", id="removed"),
        pytest.param(removed_and_sealed, "sums_sha256 was signed as", id="removed and sealed"),
        pytest.param(added, r"more\.u8: not listed", id="added"),
        pytest.param(added_and_sealed, "sums_sha256 was signed as", id="added and sealed"),
        pytest.param(linked, r"ok\.png: a link that leads out of the bundle", id="link out"),
        pytest.param(vectors_swapped, "the file was altered", id="vectors swapped"),
        pytest.param(vectors_swapped_and_sealed, "sums_sha256 was signed as", id="vectors swapped and sealed"),
        pytest.param(
            of_version(OTHER_MINOR),
            f"contract_version was signed as '{CONTRACT_VERSION}', but the bundle has '{OTHER_MINOR}'",
            id="another minor version",
        ),
        pytest.param(of_version(EARLIER), f"contract version '{EARLIER}' cannot be read", id="downgraded"),
        pytest.param(of_another_part, "part was signed as 'tiny', but the bundle has 'other'", id="another part"),
        pytest.param(restated, "the signature does not fit", id="forged with a new statement"),
        pytest.param(signature(part="other"), "the signature does not fit", id="statement edited"),
        pytest.param(signature(signature="AAAA"), "the signature does not fit", id="signature cut off"),
        pytest.param(signature(signature="%"), "no signature that can be read", id="signature no base64"),
        pytest.param(signature(algorithm="none"), "its algorithm must be ed25519", id="no algorithm"),
        pytest.param(signature(part=3), "must be texts", id="part no text"),
        pytest.param(signature(key="0" * 16), "signed with the key 0000", id="another key named"),
        pytest.param(signature(statement={"part": "tiny"}), "no signature that can be read", id="statement cut"),
        pytest.param(written(b"[]"), "no signature that can be read", id="no object"),
        pytest.param(written(b"{"), "no signature that can be read", id="no JSON"),
        pytest.param(written(b"\xff"), "no signature that can be read", id="no text"),
        pytest.param(written(b" " * 70000), "larger than", id="giant"),
    ],
)
def test_what_was_not_signed_is_refused(signed: Path, keys: tuple[Path, Path], spoil: Spoil, words: str) -> None:
    """With a key asked for, nothing is judged with a bundle that differs in any file from the signed one."""
    spoil(signed)
    for load in (Inspector, load_bundle, verify_bundle):
        with pytest.raises(BundleError, match=words) as caught:
            load(signed, require_key=keys[1])
        assert caught.value.exit_code == 1


def test_an_unsigned_bundle_is_refused(proven: Path, keys: tuple[Path, Path]) -> None:
    """Where a key is asked for, a bundle without a signature is none."""
    with pytest.raises(BundleError, match=r"SIGNATURE\.json: missing: the bundle is not signed"):
        Inspector(proven, require_key=keys[1])


def test_a_wrong_key_is_refused(signed: Path, tmp_path: Path) -> None:
    """Another key's owner did not sign it."""
    _, other = make_keys(tmp_path / "other")
    with pytest.raises(BundleError, match=r"signed with the key .* but .* is "):
        Inspector(signed, require_key=other)


def test_a_key_under_a_borrowed_name_is_refused(signed: Path, tmp_path: Path) -> None:
    """A signature that names the asked key, but was made by another, does not fit."""
    _, other = make_keys(tmp_path / "other")
    signature(key=key_id(read_public_key(other)))(signed)
    with pytest.raises(BundleError, match="the signature does not fit"):
        Inspector(signed, require_key=other)


def test_a_spoilt_bundle_is_not_signed(proven: Path, keys: tuple[Path, Path]) -> None:
    """Nobody vouches for a bundle whose files are not as they were written."""
    altered("vectors/ok.png", sealed=False)(proven)
    with pytest.raises(BundleError, match=r"ok\.png: SHA-256 is"):
        sign_bundle(proven, keys[0])
    assert not (proven / "SIGNATURE.json").exists()


def test_a_bare_model_has_no_signature(signed: Path, keys: tuple[Path, Path]) -> None:
    """A .onnx file cannot answer for a signature, not even with its hash."""
    with pytest.raises(UsageError, match="carries no signature"):
        Inspector(signed / "model.onnx", unverified=True, require_key=keys[1])


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    """The private key is its owner's alone, and neither file is written over."""
    private, public = make_keys(tmp_path / "new" / "keys")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    for kept, gone in ((private, public), (public, private)):
        content, away = kept.read_bytes(), gone.read_bytes()
        gone.unlink()
        with pytest.raises(UsageError, match="never overwritten"):
            make_keys(tmp_path / "new" / "keys")
        assert kept.read_bytes() == content
        assert not gone.exists()
        gone.write_bytes(away)


def test_keys_of_the_wrong_kind_are_refused(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """Private for public, public for private, no PEM, another algorithm, nothing there: each names its file."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    other = generate_private_key(SECP256R1())
    (tmp_path / "ec.pem").write_bytes(
        other.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "no.pem").write_bytes(b"\xffhello")
    for file, words in (
        (keys[0], "this is a private key"),
        (tmp_path / "ec.pem", r"ec\.pem: expected a public Ed25519 key"),
        (tmp_path / "no.pem", r"no\.pem: expected a public Ed25519 key"),
        (tmp_path / "absent.pem", r"absent\.pem: no key there"),
    ):
        with pytest.raises(UsageError, match=words):
            Inspector(signed, require_key=file)
    with pytest.raises(UsageError, match=r"public\.pem: expected a private Ed25519 key"):
        sign_bundle(signed, keys[1])


def test_without_cryptography_only_keys_are_refused(signed: Path, keys: tuple[Path, Path]) -> None:
    """Without the package a bundle loads, and asking for a key names the pip line."""
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from lineside.runtime import Inspector, LinesideError\n"
        "model, key = sys.argv[1:]\n"
        "Inspector(model)\n"
        "try:\n    Inspector(model, require_key=key)\nexcept LinesideError as error:\n    print(error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(signed), str(keys[1])], capture_output=True, text=True, check=True
    )
    assert "pip install 'lineside[sign]'" in done.stdout


def test_the_commands_make_keys_sign_and_verify(proven: Path, tmp_path: Path) -> None:
    """keygen, sign and verify do on the command line what they say; an unsigned bundle ends verify with 1."""

    def lineside(*arguments: object) -> str:
        result = invoke(*arguments)
        if result.exception:
            raise result.exception
        return result.output

    folder = tmp_path / "keys"
    assert "public.pem" in lineside("keygen", folder)
    with pytest.raises(LinesideError, match="not signed") as caught:
        lineside("verify", proven, "--key", folder / "public.pem")
    assert caught.value.exit_code == 1
    name = key_id(read_public_key(folder / "public.pem"))
    assert name in lineside("sign", proven, "--key", folder / "private.pem")
    assert "its signature was not checked" in lineside("verify", proven)
    assert f"signed with the key {name}" in lineside("verify", proven, "--key", folder / "public.pem")


def test_inspect_refuses_an_unsigned_model(proven: Path, keys: tuple[Path, Path], images: Path) -> None:
    """`lineside inspect --require-key` judges no image with it, and judges them once it is signed."""
    key = ("--require-key", str(keys[1]))
    refused = run_inspect(proven, images, *key)
    assert refused.exit_code != 0
    assert "not signed" in str(refused.exception)
    assert not Path("out").exists()
    sign_bundle(proven, keys[0])
    assert run_inspect(proven, images, *key).exit_code == 0
    assert Path("out/summary.json").is_file()
