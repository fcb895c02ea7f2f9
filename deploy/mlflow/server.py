"""What runs in the container: ``serve`` makes the bucket and becomes MLflow's server, ``health`` asks that server."""

import os
import sys
import urllib.request
from urllib.parse import urlsplit

PORT = os.environ.get("PORT", "5000")
# One worker: with two or more, the default server answers 50 ms late to each request.
COMMAND = ["mlflow", "server", "--app-name", "basic-auth", "--port", PORT, "--workers", "1"]


def make_bucket(url: str) -> None:
    """The bucket of an s3:// URL, if it is not there and its keys may make it."""
    import boto3

    client, name = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL")), urlsplit(url).netloc
    if name not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=name)


def serve(host: str = "0.0.0.0") -> None:  # noqa: S104  (inside the container; compose publishes it on loopback)
    destination = os.environ["MLFLOW_ARTIFACTS_DESTINATION"]
    if destination.startswith("s3://") and os.environ.get("MLFLOW_S3_ENDPOINT_URL"):  # a cloud's bucket is its owner's
        make_bucket(destination)
    os.execvp(COMMAND[0], [*COMMAND, "--host", host])  # noqa: S606


def health() -> None:
    """Raises, and so exits with 1, where the server does not answer with 200."""
    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5).close()


if __name__ == "__main__":
    {"serve": serve, "health": health}[sys.argv[1]](*sys.argv[2:])
