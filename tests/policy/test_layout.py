"""How files are laid out, with everything that is in them."""

from __future__ import annotations

import pytest

from convpolicy.errors import PolicySyntaxError
from convpolicy.policy import gallery
from convpolicy.policy.scribble import format_text


def laid_out(text: str) -> str:
    """Lay out a text, and see that laying it out again changes nothing."""
    formatted = format_text(text)
    assert format_text(formatted) == formatted
    return formatted


def test_the_gallery_is_laid_out() -> None:
    for name in gallery.names():
        text = gallery.path(name).read_text(encoding="utf-8")
        assert laid_out(text) == text


def test_comments_stay_where_they_were_written() -> None:
    text = """\
(*# NestedProtocols #*)
/* two
   lines */
module a.B ;
import c.D as E ; // why
type  <java>  "java.lang.String"   from "rt.jar"   as   Text;


// before the protocol
global protocol P ( role A , role B )   // after the roles
{  // at the start
  Yes ( x : int ) from A to B;   // at the end


  // by itself
  choice at A { No from A to B ; }
  // the other way
  or /* or not */ { } // done
}
// the end
"""
    assert (
        laid_out(text)
        == """\
(*# NestedProtocols #*)
/* two
   lines */
module a.B;
import c.D as E;  // why
type <java> "java.lang.String" from "rt.jar" as Text;

// before the protocol
global protocol P(role A, role B) {
  // after the roles
  // at the start
  Yes(x: int) from A to B;  // at the end

  // by itself
  choice at A {
    No from A to B;
  } or {
    // the other way
    // or not */
  }  // done
}

// the end
""".replace("// or not */", "/* or not */")
    )


def test_what_no_policy_can_have_is_kept() -> None:
    text = """\
explicit global protocol P<sig M,type T>(role A,role B;new role C)(x:int)@"(0)"{
nested protocol Q(role A){}
rec X[n<A>:(n:int{0<n})=1]{M connect A to B;@"x > 1" continue X[n+1];}
do a.b.Q<l1(T),(int)>(A as B);X(P@A,x:int{x>0},map<str,list<T>>) from A to B within 30s;
A calls Q<T>(B);interruptible{}with{M,N(x:int) by A;}
}"""
    assert (
        laid_out(text)
        == """\
explicit global protocol P<sig M, type T>(role A, role B; new role C) (x: int) @"(0)" {
  nested protocol Q(role A) {}
  rec X [n<A>:(n:int{0<n})=1] {
    M connect A to B; @"x > 1"
    continue X [n+1];
  }
  do a.b.Q<l1(T), (int)>(A as B);
  X(P@A, x: int{x>0}, map<str, list<T>>) from A to B within 30s;
  A calls Q<T>(B);
  interruptible {} with {
    M, N(x: int) by A;
  }
}
"""
    )


def test_a_par_of_plain_messages_hangs_from_its_braces() -> None:
    text = "global protocol P(role A, role B) { par { X from A to B; } and { Y from B to A; Z from B to A; } }"
    assert (
        laid_out(text)
        == """\
global protocol P(role A, role B) {
  par { X from A to B; }
  and { Y from B to A;
        Z from B to A; }
}
"""
    )


def test_a_par_with_more_in_it_does_not_hang() -> None:
    text = "global protocol P(role A, role B) { par { X from A to B; // late\n } and { rec X { } } }"
    assert (
        laid_out(text)
        == """\
global protocol P(role A, role B) {
  par {
    X from A to B;  // late
  } and {
    rec X {}
  }
}
"""
    )


def test_long_lines_are_broken_after_commas() -> None:
    roles = ", ".join(f"role Participant{n}" for n in range(6))
    names = ", ".join(f"Participant{n}" for n in range(1, 6))
    text = f"global protocol Long({roles}) {{ Announcement(note: str) from Participant0 to {names} within 5min; }}"
    assert (
        laid_out(text)
        == """\
global protocol Long(role Participant0, role Participant1, role Participant2, role Participant3,
    role Participant4, role Participant5) {
  Announcement(note: str) from Participant0 to Participant1, Participant2, Participant3,
      Participant4, Participant5 within 5min;
}
"""
    )


def test_a_comment_inside_a_statement_stays_inside() -> None:
    text = "global protocol P(role A, role B) { X // why\n from A /* to whom */ to B; }"
    assert (
        laid_out(text)
        == """\
global protocol P(role A, role B) {
  X // why
    from A /* to whom */ to B;
}
"""
    )


def test_an_empty_text_stays_empty() -> None:
    assert laid_out("\n\n") == ""
    assert laid_out("// nothing yet") == "// nothing yet\n"


def test_what_is_not_in_the_language_is_refused() -> None:
    with pytest.raises(PolicySyntaxError):
        format_text("global protocol P(role A) {")
