import pytest

from cni.installer.conflist.settings import SettingError, read_settings


def test_values_are_json_or_else_text() -> None:
    texts = ["log_level=info", "log_file_max_size=7", 'default_ipv4_ippool=["a", "b"]', "ipam_unix_socket_path=/s=x"]
    assert read_settings(texts) == {
        "log_level": "info",
        "log_file_max_size": 7,
        "default_ipv4_ippool": ["a", "b"],
        "ipam_unix_socket_path": "/s=x",
    }
    assert read_settings([]) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log_level", "want KEY=VALUE"),
        ("ipam_unix_sock_path=/x", "'ipam_unix_sock_path' is no setting; there are clean_gateway"),
        ("type=host-local", "'type' is no setting"),
        ("log_level=loud", "log_level"),
        ("default_ipv4_ippool=a", "default_ipv4_ippool"),
        ("request_timeout=0", "request_timeout"),
        ('log_file_path="\\ud800"', "want UTF-8"),
        ("log_file_path=/\udcff", "want UTF-8"),
        ("\udcff=1", "is no setting"),
    ],
)
def test_what_the_plugin_would_ignore_or_refuse_is_refused(text: str, words: str) -> None:
    with pytest.raises(SettingError) as raised:
        read_settings([text])
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log_level=loud", "log_level: must be one of debug, info, warn, error, panic, fatal"),
        ("request_timeout=0", "request_timeout: must be at least 1 second"),
        ("ipam_unix_socket_path=run/x.sock", "ipam_unix_socket_path: must be an absolute path of 2 to 107"),
        ("log_file_path=x.log", "log_file_path: must be an absolute path"),
        ("clean_gateway=perhaps", "clean_gateway: Input should be a valid boolean"),
    ],
)
def test_a_value_that_is_wrong_is_told_in_the_words_of_its_rule(text: str, words: str) -> None:
    with pytest.raises(SettingError) as raised:
        read_settings([text])
    assert str(raised.value).startswith(words)
