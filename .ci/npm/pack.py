"""Packs a binary for npm: a package for its platform, and the package that people install.

    pack.py BINARY TARGET VERSION OUT
"""

import json
import pathlib
import shutil
import subprocess
import sys

NAME = "wasm-agent-host"
# What Node.js calls a platform, by the first and third part of a target.
PLATFORMS = {
    ("x86_64", "linux"): ("linux", "x64"),
    ("aarch64", "linux"): ("linux", "arm64"),
    ("x86_64", "darwin"): ("darwin", "x64"),
    ("aarch64", "darwin"): ("darwin", "arm64"),
}


def pack(name, fields, files, out):
    """Lays a package out and packs it."""
    directory = out / "npm" / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for source, target in files.items():
        shutil.copy(source, directory / target)
    common = {"name": name, "license": "Apache-2.0 WITH LLVM-exception"}
    (directory / "package.json").write_text(json.dumps(common | fields, indent=2) + "\n")
    subprocess.run(["npm", "pack", "--silent", "--pack-destination", out.resolve()], cwd=directory, check=True)


def main():
    binary, target, version, out = sys.argv[1:]
    here, out = pathlib.Path(__file__).parent, pathlib.Path(out)
    machine, _, system = target.split("-")[:3]
    if (machine, system) not in PLATFORMS:
        sys.exit(f"there is no npm platform for {target}: add it to PLATFORMS in {__file__}")
    platform, arch = PLATFORMS[machine, system]
    described = {"version": version, "description": "Runs AI agents whose tools are isolated WebAssembly components."}
    pack(
        f"{NAME}-{platform}-{arch}",
        described | {"os": [platform], "cpu": [arch], "files": ["host"]},
        {binary: "host"},
        out,
    )
    packages = {f"{NAME}-{platform}-{arch}": version for platform, arch in PLATFORMS.values()}
    pack(
        NAME,
        described | {"bin": {"host": "host.js"}, "optionalDependencies": packages, "engines": {"node": ">=18"}},
        {here / "host.js": "host.js", here / "../../README.md": "README.md"},
        out,
    )
    shutil.rmtree(out / "npm")


main()
