//! Labels that would lie on each other are pushed apart.

/// Where to put labels that want to be at these places: each at least `pitch` from the next, between `low` and `high` as
/// far as there is room, their order kept, and moved as little as that allows (least squares, by pooling neighbours).
pub(super) fn spread(wanted: &[f64], pitch: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));

    // Without the pitch of all before it, each only has to be no less than the one before.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (rank, index) in order.iter().enumerate() {
        let (mut sum, mut count) = (wanted[*index] - rank as f64 * pitch, 1);
        while let Some((before, members)) =
            pools.pop_if(|(before, members)| *before / *members as f64 > sum / count as f64)
        {
            (sum, count) = (sum + before, count + members);
        }
        pools.push((sum, count));
    }
    let last = wanted.len().saturating_sub(1) as f64;
    let highest = (high - last * pitch).max(low);
    let places = pools.into_iter().flat_map(|(sum, count)| std::iter::repeat_n(sum / count as f64, count));

    let mut spread = vec![0.0; wanted.len()];
    for (rank, (place, index)) in places.zip(order).enumerate() {
        spread[index] = place.clamp(low, highest) + rank as f64 * pitch;
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(places: &[f64], pitch: f64) -> bool {
        let mut sorted = places.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.windows(2).all(|pair| pair[1] - pair[0] > pitch - 1e-9)
    }

    #[test]
    fn labels_with_room_stay_where_they_want_to_be() {
        assert_eq!(spread(&[80.0, 10.0, 40.0], 20.0, 0.0, 100.0), [80.0, 10.0, 40.0]);
        assert!(spread(&[], 20.0, 0.0, 100.0).is_empty());
    }

    #[test]
    fn labels_on_one_place_part_around_it() {
        assert_eq!(spread(&[50.0, 50.0, 50.0], 10.0, 0.0, 100.0), [40.0, 50.0, 60.0]);
    }

    #[test]
    fn labels_stay_apart_in_order_and_inside() {
        let wanted = [3.0, 99.0, 98.0, 50.0, 51.0, 97.5, 2.0, 49.0];
        let places = spread(&wanted, 12.0, 0.0, 100.0);
        assert!(apart(&places, 12.0), "{places:?}");
        assert!(places.iter().all(|place| (0.0..=100.0).contains(place)), "{places:?}");
        for (a, b) in (0..wanted.len()).flat_map(|a| (0..wanted.len()).map(move |b| (a, b))) {
            assert!(wanted[a] >= wanted[b] || places[a] < places[b], "{places:?}");
        }
    }

    #[test]
    fn labels_stay_apart_even_without_room() {
        assert!(apart(&spread(&[5.0; 20], 12.0, 0.0, 100.0), 12.0));
    }
}
