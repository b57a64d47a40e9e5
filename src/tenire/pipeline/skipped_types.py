"""Names of files that hold no text: pictures, sound, video, programs and the like.

The source counts such files as skipped, outside ``seen``, and nobody opens
them. Everything that is not named here *can* hold text, so it is seen, looked
at, and then read or quarantined with a reason; that is also why documents that
this version cannot read yet (PDF, Office, archives, databases) and names that
say nothing (``.bin``, ``.dat``) are missing from the tables.
"""

from __future__ import annotations

import re

__all__ = ["NO_TEXT_SUFFIXES", "holds_no_text"]

_PICTURES = """
    ai apng avif bmp cdr cr2 cr3 cur dds dng emf eps exr gif hdr heic heif icns ico jfif jp2 jpe jpeg jpg jxl nef
    orf pbm pcx pgm png pnm ppm psd qoi raf rw2 svg svgz tga tif tiff wbmp webp wmf xbm xcf xpm
"""
_SOUND = "aac ac3 aif aifc aiff amr ape au caf flac m4a m4b mid midi mka mp2 mp3 mpc oga ogg opus ra snd wav wma wv"
_VIDEO = "3g2 3gp asf avi divx f4v flv m2ts m2v m4v mkv mov mp4 mpeg mpg mts mxf ogm ogv rm rmvb swf vob webm wmv"
_PROGRAMS = """
    a apk app appimage bpl class cpl deb dex dll dmg drv dylib efi elf exe hex ilk img iso jar ko lib
    mo msi msix nro o obj ocx pdb pyc pyd pyo rlib rmeta rom rpm scr snap so sys vdi vhd vhdx vmdk war wasm whl
"""
_FONTS = "afm bdf dfont eot fnt fon otf pcf pfa pfb pfm ttc ttf woff woff2"
_NUMBERS = """
    3ds blend ckpt dae fbx gguf glb gltf h5 hdf5 joblib keras mat npy npz nc onnx pb pickle pkl pt pth ply
    rdata rds safetensors stl tflite tfrecord
"""

NO_TEXT_SUFFIXES: frozenset[str] = frozenset(" ".join((_PICTURES, _SOUND, _VIDEO, _PROGRAMS, _FONTS, _NUMBERS)).split())
"""Lower-case suffixes, without the dot, of files that are skipped unopened."""

# Shared libraries carry their version after the suffix: libssl.so.3, libfoo.so.1.2.3.
_VERSIONED_LIBRARY = re.compile(r"\.so(\.\d+)+\Z")


def holds_no_text(name: str) -> bool:
    """Return whether a file of this name is of a type that holds no text.

    Args:
        name: The file's name, with or without its directories.
    """
    lowered = name.lower()
    stem, dot, suffix = lowered.rpartition(".")
    if not dot or not stem:
        return False
    return suffix in NO_TEXT_SUFFIXES or _VERSIONED_LIBRARY.search(lowered) is not None
