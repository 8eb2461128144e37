"""Judges rendered manifests.

  manifests.py json < manifests.yaml                        prints the documents as a JSON array
  manifests.py validate CRDS VERSION... < manifests.yaml    prints what is wrong; ends with 1 if anything is

A document `{case: NAME}` names what those behind it are of. Validation is strict: unknown fields are wrong. The schemas of Kubernetes are those of the package
kubernetes-validate, those of other kinds come from the CRDs in the folder CRDS. A kind that neither knows is named
on standard error.
"""

import copy
import functools
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate.utils as kubernetes
import yaml

# It reads the definitions of a version again for each document.
kubernetes.schema_contents = functools.lru_cache(None)(kubernetes.schema_contents)


class Loader(yaml.CSafeLoader):
    """Refuses a key that is there twice, of which YAML's readers take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key {sorted(twice)[0]!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def strict(schema):
    """A CRD's schema as the API server reads it with strict field validation."""
    if isinstance(schema, dict):
        is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
        if schema.get("type") == "object" and "properties" in schema and not is_open:
            schema["additionalProperties"] = False
        if schema.pop("x-kubernetes-int-or-string", None):
            schema.pop("type", None)
            schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        for value in schema.values():
            strict(value)
    elif isinstance(schema, list):
        for value in schema:
            strict(value)
    return schema


def read_crds(folder):
    crds = {}
    files = sorted(pathlib.Path(folder).glob("*.yaml"))
    for crd in (document for file in files for document in yaml.load_all(file.read_text(), yaml.CSafeLoader)):
        if not crd or crd.get("kind") != "CustomResourceDefinition":
            continue
        for version in crd["spec"]["versions"]:
            schema = strict(copy.deepcopy(version["schema"]["openAPIV3Schema"]))
            schema["properties"]["metadata"] = {"type": "object"}
            name = f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]
            crds[name] = jsonschema.Draft202012Validator(schema)
    return crds


def problems(document, crds, versions):
    crd = crds.get((document["apiVersion"], document["kind"]))
    if crd:
        for error in crd.iter_errors(document):
            yield "/".join(map(str, error.absolute_path)), error.message
        return
    for version in versions:
        try:
            kubernetes.validate(document, version, strict=True)
        except kubernetes.ValidationError as error:
            yield f"{version} " + "/".join(map(str, error.absolute_path)), error.message
        except kubernetes.SchemaNotFoundError:
            print(f"no schema: {document['apiVersion']} {document['kind']}", file=sys.stderr)
            return


def main():
    documents = [document for document in yaml.load_all(sys.stdin, Loader) if document]
    if sys.argv[1] == "json":
        json.dump(documents, sys.stdout)
        return 0
    crds = read_crds(sys.argv[2])
    found = 0
    case = ""
    for document in documents:
        if list(document) == ["case"]:
            case = document["case"] + ": "
            continue
        for path, message in problems(document, crds, sys.argv[3:]):
            print(f"{case}{document['kind']} {document['metadata']['name']}: {path}: {message[:200]}")
            found = 1
    return found


if __name__ == "__main__":
    sys.exit(main())
