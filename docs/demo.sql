-- What the hand touches, and how much of the Jacobians is zero meanwhile.
with pairs as (
    select n_zero_state, n_zero_action,
        list_transform(contacts, lambda c: [c.geom1, c.geom2]) as touching
    from steps
    where env = 'PandaPickCube' and finite
),

hand as (
    select n_zero_state, n_zero_action,
        list_filter(touching, lambda pair: not list_contains(pair, 'floor')) as on_cube,
        list_filter(touching, lambda pair: list_contains(pair, 'floor') and not list_contains(pair, 'box')) as on_floor
    from pairs
)

select
    case when len(on_cube) > 0 then 'the cube' when len(on_floor) > 0 then 'the floor' else 'nothing' end
        as hand_touches,
    count(*) as steps,
    round(100.0 * count(*) / sum(count(*)) over (), 2) as pct_of_steps,
    round(100.0 * avg(n_zero_state) / (38 * 38), 1) as pct_zero_state,
    round(100.0 * avg(n_zero_action) / (38 * 8), 1) as pct_zero_action
from hand
group by hand_touches
order by steps desc
