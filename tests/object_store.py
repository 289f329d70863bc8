"""An S3-compatible object store on this machine."""

import json
import os
from contextlib import contextmanager
from urllib.request import Request, urlopen

import boto3
import s3fs
from moto.server import ThreadedMotoServer


@contextmanager
def object_store(monkeypatch, *buckets):
    """Serves empty buckets on the loopback, and sets the environment by which programs find them.

    Args:
        monkeypatch: pytest's.
        buckets: their names.

    Yields:
        A client of the store.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        for name, value in {
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT": address,
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        urlopen(Request(f"{address}/moto-api/reset", method="POST")).close()  # what another test has stored
        s3fs.S3FileSystem.clear_instance_cache()  # which knows the store of another test
        client = boto3.client("s3")
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        yield client
    finally:
        server.stop()


@contextmanager
def rights_taken(monkeypatch, *kept):
    """Until it ends, the store answers 403 to whatever this process asks of it, but for some actions.

    Args:
        monkeypatch: pytest's.
        kept: the actions that stay allowed, such as "s3:Get*".
    """
    address, users = os.environ["AWS_ENDPOINT"], boto3.client("iam")
    name = f"user{len(users.list_users()['Users'])}"
    users.create_user(UserName=name)
    if kept:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": kept, "Resource": "*"}]}
        users.put_user_policy(UserName=name, PolicyName="kept", PolicyDocument=json.dumps(policy))
    key = users.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    s3fs.S3FileSystem.clear_instance_cache()
    _ask_for_rights(address, after=0)
    try:
        yield
    finally:
        _ask_for_rights(address, after=float("inf"))


def _ask_for_rights(address, after):
    """Lets the store ask who may do what, after so many requests."""
    text = {"Content-Type": "text/plain"}
    urlopen(Request(f"{address}/moto-api/reset-auth", data=str(after).encode(), headers=text, method="POST")).close()
