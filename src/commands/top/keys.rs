//! What keys ask for.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::screen::{Order, Wish};

/// How many rows a page has: a terminal has more, and a part of them stays in sight.
const PAGE: isize = 10;

/// What an event of the terminal asks for, while a name is typed or not; `None`: nothing but to draw again.
pub(super) fn wish(event: &Event, typing: bool) -> Option<Wish> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event else {
        return None;
    };
    if modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(code, KeyCode::Char('c')).then_some(Wish::End);
    }
    let moved = match code {
        KeyCode::Enter => Some(Wish::Enter),
        KeyCode::Esc => Some(Wish::Back),
        KeyCode::Up => Some(Wish::Move(-1)),
        KeyCode::Down => Some(Wish::Move(1)),
        KeyCode::PageUp => Some(Wish::Move(-PAGE)),
        KeyCode::PageDown => Some(Wish::Move(PAGE)),
        KeyCode::Home => Some(Wish::Move(isize::MIN)),
        KeyCode::End => Some(Wish::Move(isize::MAX)),
        _ => None,
    };
    moved.or_else(|| match code {
        KeyCode::Char(letter) if typing => Some(Wish::Type(*letter)),
        KeyCode::Backspace if typing => Some(Wish::Erase),
        KeyCode::Char('q') => Some(Wish::End),
        KeyCode::Char('k') => Some(Wish::Move(-1)),
        KeyCode::Char('j') => Some(Wish::Move(1)),
        KeyCode::Char('/') => Some(Wish::Filter),
        KeyCode::Char('?' | 'h') => Some(Wish::Help),
        KeyCode::Char(key) => {
            Order::ALL.into_iter().find(|(_, own, _)| own == key).map(|(order, ..)| Wish::Sort(order))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Option<Wish> {
        wish(&Event::Key(KeyEvent::new(code, modifiers)), false)
    }

    #[test]
    fn every_order_has_a_key_of_its_own() {
        for (order, key, _) in Order::ALL {
            assert_eq!(pressed(KeyCode::Char(key), KeyModifiers::NONE), Some(Wish::Sort(order)));
        }
    }

    #[test]
    fn control_c_ends_and_c_sorts() {
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::End));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::NONE), Some(Wish::Sort(Order::Processor)));
        assert_eq!(pressed(KeyCode::Char('x'), KeyModifiers::NONE), None);
        assert_eq!(wish(&Event::Resize(80, 24), false), None);
    }

    #[test]
    fn while_a_name_is_typed_letters_are_letters() {
        let typed = |code| wish(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), true);
        assert_eq!(typed(KeyCode::Char('q')), Some(Wish::Type('q')));
        assert_eq!(typed(KeyCode::Backspace), Some(Wish::Erase));
        assert_eq!(typed(KeyCode::Down), Some(Wish::Move(1)));
        assert_eq!(pressed(KeyCode::Backspace, KeyModifiers::NONE), None);
    }
}
