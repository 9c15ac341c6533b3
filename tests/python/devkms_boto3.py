"""The development KMS through boto3: what is allowed is done, and each refusal has the class that the SDK knows.

Usage: devkms_boto3.py ENDPOINT CA_FILE ADMINISTRATOR_FILE ENCLAVE_FILE FOLDER. The folder has two policies and an
attestation document; the answers for its recipient are written there. Prints how many checks were made.
"""

import json
import pathlib
import sys

import boto3
from botocore.exceptions import ClientError

CONTEXT = {"role": "client"}

checks = 0


def check(holds, what):
    global checks
    assert holds, what
    checks += 1


def access_key(path):
    """The file is TOML with one string on each line, and those read as JSON does."""
    lines = pathlib.Path(path).read_text().splitlines()
    return {name: json.loads(value) for name, value in (line.split(" = ") for line in lines)}


def client(endpoint, ca, key, **more):
    return boto3.client(
        "kms",
        region_name="eu-central-1",
        endpoint_url=endpoint,
        verify=ca,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        **more,
    )


def refused(error, call, **arguments):
    """`error` is a class of the client, or the name of one that only has the general class."""
    try:
        answer = call(**arguments)
    except ClientError as got:
        if isinstance(error, str):
            check(got.response["Error"]["Code"] == error, f"wanted {error}, got {got}")
        else:
            check(isinstance(got, error), f"wanted {error}, got {got!r}")
        check(got.response["Error"]["Message"], f"{error} has no message")
    else:
        raise AssertionError(f"wanted {error}, got {answer}")


def use(admin, enclave, policy):
    known = enclave.exceptions
    made = admin.create_key(Policy=policy, Description="from boto3")["KeyMetadata"]
    key = made["Arn"]
    described = admin.describe_key(KeyId=key)["KeyMetadata"]
    check(described == made and made["CreationDate"].year >= 2025, described)
    check(json.loads(admin.get_key_policy(KeyId=key)["Policy"]) == json.loads(policy), "the policy")

    data_key = enclave.generate_data_key(KeyId=key, NumberOfBytes=48, EncryptionContext=CONTEXT)
    check(len(data_key["Plaintext"]) == 48, "the data key's length")
    opened = enclave.decrypt(CiphertextBlob=data_key["CiphertextBlob"], EncryptionContext=CONTEXT)
    check(opened["Plaintext"] == data_key["Plaintext"] and opened["KeyId"] == key, "the data key again")
    sealed = enclave.encrypt(KeyId=key, Plaintext=b"text", EncryptionContext=CONTEXT)["CiphertextBlob"]
    moved = enclave.re_encrypt(
        CiphertextBlob=sealed,
        DestinationKeyId=key,
        SourceEncryptionContext=CONTEXT,
        DestinationEncryptionContext=CONTEXT | {"epoch": "2"},
    )
    moved = enclave.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext=CONTEXT | {"epoch": "2"})
    check(moved["Plaintext"] == b"text", "the text after ReEncrypt")

    other = admin.create_key(Policy=policy)["KeyMetadata"]["Arn"]
    wrong = {"CiphertextBlob": sealed, "EncryptionContext": CONTEXT}
    refused(known.IncorrectKeyException, enclave.decrypt, KeyId=other, **wrong)
    refused(known.InvalidCiphertextException, enclave.decrypt, **(wrong | {"CiphertextBlob": b"short"}))
    longer = CONTEXT | {"more": "1"}
    refused(known.InvalidCiphertextException, enclave.decrypt, **(wrong | {"EncryptionContext": longer}))
    refused("AccessDeniedException", enclave.decrypt, **(wrong | {"EncryptionContext": {}}))
    refused("AccessDeniedException", enclave.generate_data_key_without_plaintext, KeyId=key, KeySpec="AES_256")
    refused("ValidationException", enclave.generate_data_key, KeyId=key, EncryptionContext=CONTEXT)
    refused("ValidationException", enclave.encrypt, KeyId=key, Plaintext=b"x" * 4096 + b"x", EncryptionContext=CONTEXT)
    refused(known.NotFoundException, admin.describe_key, KeyId="alias/none")
    dry = {"EncryptionContext": CONTEXT, "DryRun": True}
    refused(known.DryRunOperationException, enclave.encrypt, KeyId=key, Plaintext=b"x", **dry)
    refused(known.DryRunOperationException, enclave.decrypt, KeyId=key, DryRunModifiers=["IGNORE_CIPHERTEXT"], **dry)
    refused("AccessDeniedException", admin.encrypt, KeyId=key, Plaintext=b"x", **dry)
    refused(known.MalformedPolicyDocumentException, admin.put_key_policy, KeyId=key, Policy="{}")
    refused("AccessDeniedException", enclave.put_key_policy, KeyId=key, Policy=policy)
    admin.disable_key(KeyId=key)
    refused(known.DisabledException, enclave.decrypt, **wrong)
    admin.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    refused(known.KMSInvalidStateException, enclave.decrypt, **wrong)


def use_attested(admin, enclave, policy, folder):
    key = admin.create_key(Policy=policy)["KeyMetadata"]["Arn"]
    document = (folder / "document").read_bytes()
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": document}
    arguments = {"KeyId": key, "EncryptionContext": CONTEXT}
    made = enclave.generate_data_key(KeySpec="AES_256", Recipient=recipient, **arguments)
    check("Plaintext" not in made, "an attested answer has no Plaintext")
    (folder / "made").write_bytes(made["CiphertextForRecipient"])
    again = enclave.decrypt(CiphertextBlob=made["CiphertextBlob"], Recipient=recipient, **arguments)
    (folder / "again").write_bytes(again["CiphertextForRecipient"])
    refused("AccessDeniedException", enclave.decrypt, CiphertextBlob=made["CiphertextBlob"], **arguments)
    refused("AccessDeniedException", enclave.generate_data_key, KeySpec="AES_256", **arguments)
    damaged = document[:-1] + bytes([document[-1] ^ 1])
    recipient["AttestationDocument"] = damaged
    refused("ValidationException", enclave.generate_data_key, KeySpec="AES_256", Recipient=recipient, **arguments)


def main(endpoint, ca, admin_file, enclave_file, folder):
    folder = pathlib.Path(folder)
    admin_key, enclave_key = access_key(admin_file), access_key(enclave_file)
    admin, enclave = client(endpoint, ca, admin_key), client(endpoint, ca, enclave_key)
    use(admin, enclave, (folder / "open-policy").read_text())
    use_attested(admin, enclave, (folder / "attested-policy").read_text(), folder)

    wrong = client(endpoint, ca, enclave_key | {"secret_access_key": admin_key["secret_access_key"]})
    refused("InvalidSignatureException", wrong.generate_random, NumberOfBytes=1)
    unknown = client(endpoint, ca, enclave_key | {"access_key_id": "AKIANOBODY"})
    refused("UnrecognizedClientException", unknown.generate_random, NumberOfBytes=1)
    token = client(endpoint, ca, enclave_key, aws_session_token="none was given")
    refused("UnrecognizedClientException", token.generate_random, NumberOfBytes=1)
    print("checks", checks)


if __name__ == "__main__":
    main(*sys.argv[1:])
